"""A stand-in for a server of OpenSearch or Elasticsearch, small and strict, for tests.

It answers the requests that babelmix sends, as the documentation of the products says, from numpy arrays. A path, a parameter or
a field of a request that it does not know is an error, as it is there. It is no server of either product: what it proves is that
babelmix sends documented requests and reads documented answers.

Scores: Elasticsearch's `dense_vector` page, OpenSearch's page on spaces. Documents are on two shards, each with sequence numbers
of its own. Searches see what was written before the last refresh.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np

from babelmix.search.foreign.elastic_vectors import values_at

SHARDS = 2


class Refusal(Exception):
    """An error of the server."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.body = (
            status,
            {"error": {"root_cause": [{"type": kind, "reason": reason}]}, "status": status},
        )


def only(found: dict[str, Any], known: set[str], what: str) -> None:
    """Raise if there is another key."""
    if other := set(found) - known:
        raise Refusal(400, "parsing_exception", f"[{what}] unknown field [{sorted(other)[0]}]")


class Index:
    """The documents of an index."""

    def __init__(self, mapping: dict[str, Any], settings: dict[str, Any]) -> None:
        self.mapping, self.settings = {"properties": {}, **mapping}, settings
        self.docs: dict[str, dict[str, Any]] = {}
        self.visible: list[dict[str, Any]] = []
        self.sequence: Counter[int] = Counter()

    def put(self, name: str, source: dict[str, Any], routing: str | None = None) -> None:
        """Write a document."""
        shard = sum((routing or name).encode()) % SHARDS
        self.docs[name] = {
            "_id": name,
            "shard": shard,
            "_seq_no": self.sequence[shard],
            "source": source,
            "routing": routing,
        }
        self.sequence[shard] += 1

    def refresh(self) -> None:
        """Let searches see what was written."""
        self.visible = [dict(doc) for doc in self.docs.values()]

    def spec(self, name: str) -> dict[str, Any]:
        """The mapping of a field."""
        found: dict[str, Any] = self.mapping
        for part in name.split("."):
            found = found.get("properties", found.get("fields", {})).get(part, {})
        return found


class StandIn:
    """The server.

    Args:
        product: `opensearch` or `elasticsearch`.
        version: what it says of its version.

    Attributes:
        requests: the method, path and body of every request.
        faults: functions that get a request before it is answered, and may return a status and a body instead.
        loses: the share of hits that a filtered search of a graph loses.
        halved: of OpenSearch: whether cosines of Faiss are (1 + cos) / 2, as they are now, or 1 / (2 - cos), as they were.
        login: the header that is asked for.
        embed: of OpenSearch: the model of the server itself, which `neural` queries ask.

    """

    def __init__(self, product: str, version: str = "") -> None:
        self.product = product
        self.version = version or {"opensearch": "2.19.0", "elasticsearch": "9.2.0"}[product]
        self.indices: dict[str, Index] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.faults: list[Callable[[str, str, Any], tuple[int, Any] | None]] = []
        self.loses = 0.0
        self.halved = True
        self.login = ""
        self.embed: Callable[[str], list[float]] | None = None
        self.cursors: dict[str, list[dict[str, Any]]] = {}
        self.lock = threading.Lock()

    # --- requests -------------------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, text: str, headers: Any) -> tuple[int, Any]:
        """The status and the body of an answer."""
        parts = urlsplit(path)
        options, names = dict(parse_qsl(parts.query)), [unquote(part) for part in parts.path.split("/") if part]
        with self.lock:
            body = None
            try:
                if self.login and headers.get("authorization") != self.login:
                    raise Refusal(401, "security_exception", "missing authentication credentials for REST request")
                if text and names[-1:] == ["_bulk"]:
                    body = [json.loads(line) for line in text.splitlines()]
                elif text:
                    body = json.loads(text)
                self.requests.append((method, parts.path, body))
                for fault in list(self.faults):
                    if (found := fault(method, parts.path, body)) is not None:
                        return found
                return 200, self.routed(method, names, options, body)
            except Refusal as refusal:
                return refusal.status, refusal.body

    def routed(self, method: str, names: list[str], options: dict[str, str], body: Any) -> Any:
        """The answer to a request."""
        elastic = self.product == "elasticsearch"
        match method, names:
            case "GET", []:
                there = {} if elastic else {"distribution": "opensearch"}
                return {"name": "stand-in", "version": {"number": self.version, **there}}
            case "GET", [name, "_mapping"]:
                return {name: {"mappings": self.index(name).mapping}}
            case "GET", [name, "_settings"]:
                return {name: {"settings": {"index": self.index(name).settings}}}
            case "PUT", [name, "_mapping"]:
                return self.put_mapping(self.index(name), body)
            case "POST", [name, "_refresh"]:
                self.index(name).refresh()
                return {"_shards": {"total": 4, "successful": 2, "failed": 0}}
            case "POST", [name, "_count"]:
                only(body, {"query"}, "count")
                return {"count": len(self.hits(self.index(name), body["query"]))}
            case "POST", [name, "_bulk"]:
                return self.bulk(self.index(name), body)
            case "POST", [name, "_search"]:
                only(options, {"scroll", "search_pipeline"} if not elastic else set(), "search parameters")
                return self.search(self.index(name), body, options.get("scroll"))
            case "POST", [name, "_pit"] if elastic and set(options) == {"keep_alive"}:
                self.cursors[f"pit-{len(self.cursors)}"] = [dict(doc) for doc in self.index(name).visible]
                return {"id": list(self.cursors)[-1]}
            case "POST", ["_search"] if elastic:
                return self.search_in_time(body)
            case "DELETE", ["_pit"] if elastic:
                only(body, {"id"}, "pit")
                del self.cursors[body["id"]]
                return {"succeeded": True, "num_freed": 1}
            case "POST", ["_search", "scroll"] if not elastic:
                only(body, {"scroll", "scroll_id"}, "scroll")
                return self.page(body["scroll_id"])
            case "DELETE", ["_search", "scroll"] if not elastic:
                only(body, {"scroll_id"}, "scroll")
                del self.cursors[body["scroll_id"]]
                return {"succeeded": True, "num_freed": 1}
        raise Refusal(
            400, "illegal_argument_exception", f"no handler found for uri [/{'/'.join(names)}] and method [{method}]"
        )

    def index(self, name: str) -> Index:
        """An index."""
        if name not in self.indices:
            raise Refusal(404, "index_not_found_exception", f"no such index [{name}]")
        return self.indices[name]

    def put_mapping(self, index: Index, body: Any) -> Any:
        """Add fields. A field that is there may be sent again as it is."""
        only(body, {"properties", "_meta"}, "mapping")
        for name, spec in body.get("properties", {}).items():
            there = index.mapping["properties"].setdefault(name, spec)
            if there != spec:
                raise Refusal(400, "illegal_argument_exception", f"Mapper for [{name}] conflicts with existing mapper")
        if "_meta" in body:
            index.mapping["_meta"] = body["_meta"]
        return {"acknowledged": True}

    def bulk(self, index: Index, lines: list[dict[str, Any]]) -> Any:
        """Updates."""
        items = []
        for action, content in zip(lines[::2], lines[1::2], strict=True):
            only(action, {"update"}, "bulk")
            head = action["update"]
            only(head, {"_id", "if_seq_no", "if_primary_term", "routing"}, "bulk update")
            only(content, {"doc", "script"}, "update")
            items.append({"update": {"_id": head["_id"], **self.updated(index, head, content)}})
        return {"took": 1, "errors": any(item["update"]["status"] >= 300 for item in items), "items": items}

    def updated(self, index: Index, head: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
        """The answer to one update."""
        doc = index.docs.get(head["_id"])
        if doc is None or doc["routing"] != head.get("routing"):
            return {
                "status": 404,
                "error": {"type": "document_missing_exception", "reason": f"[{head['_id']}]: document missing"},
            }
        if head.get("if_seq_no", doc["_seq_no"]) != doc["_seq_no"]:
            return {
                "status": 409,
                "error": {"type": "version_conflict_engine_exception", "reason": "version conflict"},
            }
        if "script" in content:
            only(content["script"], {"source", "params"}, "script")
            assert content["script"]["source"] == "ctx._source.remove(params.name)"
            source = {name: one for name, one in doc["source"].items() if name != content["script"]["params"]["name"]}
        else:
            for name, value in content["doc"].items():
                if index.spec(name).get("type") in ("dense_vector", "knn_vector"):
                    self.check_vector(index.spec(name), name, value)
            source = {**doc["source"], **content["doc"]}
        index.put(head["_id"], source, doc["routing"])
        return {"status": 200, "result": "updated"}

    def check_vector(self, spec: dict[str, Any], name: str, value: list[float]) -> None:
        """Refuse what the product refuses."""
        if len(value) != spec.get("dims", spec.get("dimension")):
            raise Refusal(400, "mapper_parsing_exception", f"[{name}] has the wrong dimension")
        if spec.get("similarity") == "dot_product" and abs(float(np.linalg.norm(value)) - 1) > 1e-3:
            raise Refusal(400, "mapper_parsing_exception", "dot_product can only be used with unit-length vectors")

    # --- searches -------------------------------------------------------------------------------------------------------------

    def search(self, index: Index, body: dict[str, Any], scroll: str | None = None) -> Any:
        """The answer to a search."""
        known = {"size", "query", "_source", "track_total_hits", "aggs", "sort", "seq_no_primary_term", "fields"}
        only(body, known | ({"knn"} if self.product == "elasticsearch" else {"search_pipeline"}), "search")
        hits = (
            self.near(index, body["knn"]) if "knn" in body else self.hits(index, body.get("query", {"match_all": {}}))
        )
        if scroll is None and "sort" in body:
            raise Refusal(400, "parsing_exception", "the stand-in sorts pages only")
        answer: dict[str, Any] = {
            "timed_out": False,
            "_shards": {"total": SHARDS, "successful": SHARDS, "skipped": 0, "failed": 0},
        }
        total = {"total": {"value": len(hits), "relation": "eq"}} if body.get("track_total_hits", True) else {}
        made = [self.made(index, doc, score, body) for doc, score in hits]
        if scroll is not None:
            assert body["sort"] == ["_doc"]
            name = f"scroll-{len(self.cursors)}"
            self.cursors[name] = [{"size": body["size"], "left": made}]
            return self.page(name)
        if "aggs" in body:
            answer["aggregations"] = {name: self.aggregated(index, one, hits) for name, one in body["aggs"].items()}
        return {**answer, "hits": {**total, "hits": made[: body.get("size", 10)]}}

    def page(self, name: str) -> Any:
        """The next page of a scroll."""
        cursor = self.cursors[name][0]
        page, cursor["left"] = cursor["left"][: cursor["size"]], cursor["left"][cursor["size"] :]
        shards = {"total": SHARDS, "successful": SHARDS, "skipped": 0, "failed": 0}
        return {"_scroll_id": name, "timed_out": False, "_shards": shards, "hits": {"hits": page}}

    def search_in_time(self, body: dict[str, Any]) -> Any:
        """A page of a point in time."""
        known = {
            "size",
            "query",
            "_source",
            "track_total_hits",
            "sort",
            "seq_no_primary_term",
            "fields",
            "pit",
            "search_after",
        }
        only(body, known, "search")
        assert body["sort"] == [{"_shard_doc": "asc"}]
        docs = self.cursors[body["pit"]["id"]]
        index = next(one for one in self.indices.values() if {doc["_id"] for doc in docs} <= set(one.docs))
        ordered = sorted(docs, key=lambda doc: (doc["shard"], doc["_id"]))
        places = {doc["_id"]: (doc["shard"] << 32) + place for place, doc in enumerate(ordered)}
        after = body.get("search_after", [-1])[0]
        found = [
            {**self.made(index, doc, None, body), "sort": [places[doc["_id"]]]}
            for doc in ordered
            if places[doc["_id"]] > after and self.passes(index, doc, body["query"])
        ]
        shards = {"total": SHARDS, "successful": SHARDS, "skipped": 0, "failed": 0}
        return {
            "pit_id": body["pit"]["id"],
            "timed_out": False,
            "_shards": shards,
            "hits": {"hits": found[: body["size"]]},
        }

    def made(self, index: Index, doc: dict[str, Any], score: float | None, body: dict[str, Any]) -> dict[str, Any]:
        """A hit."""
        source = doc["source"]
        if self.product == "elasticsearch":  # vectors are left out of _source since 9.2
            source = {name: value for name, value in source.items() if index.spec(name).get("type") != "dense_vector"}
        wanted = body.get("_source", True)
        if isinstance(wanted, list):
            source = {name: one for name, one in source.items() if any(name == w.split(".")[0] for w in wanted)}
        hit = {"_index": "x", "_id": doc["_id"], "_score": score}
        if wanted is not False:
            hit["_source"] = source
        if doc["routing"]:
            hit["_routing"] = doc["routing"]
        if body.get("seq_no_primary_term"):
            hit |= {"_seq_no": doc["_seq_no"], "_primary_term": 1}
        if "fields" in body:
            hit["fields"] = {name: found for name in body["fields"] if (found := values_at(doc["source"], name))}
        return hit

    def aggregated(self, index: Index, body: dict[str, Any], hits: list[tuple[dict[str, Any], float]]) -> Any:
        """The answer to an aggregation."""
        ((kind, asked),) = body.items()
        only(asked, {"field", "size"}, kind)
        self.check_exact(index, asked["field"])
        values = [values_at(doc["source"], self.base(index, asked["field"])) for doc, _ in hits]
        if kind == "missing":
            return {"doc_count": sum(not some for some in values)}
        assert kind == "terms"
        counts = Counter(value for some in values for value in set(some)).most_common()
        rest = sum(count for _, count in counts[asked["size"] :])
        buckets = [{"key": key, "doc_count": count} for key, count in counts[: asked["size"]]]
        return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": rest, "buckets": buckets}

    def check_exact(self, index: Index, name: str) -> None:
        """Text fields have no values to count."""
        if index.spec(name).get("type") == "text":
            raise Refusal(400, "illegal_argument_exception", f"Text fields are not optimised for [{name}]")

    def base(self, index: Index, name: str) -> str:
        """The field of a sub-field."""
        head, dot, _ = name.rpartition(".")
        return head if dot and "fields" in index.spec(head) else name

    def hits(self, index: Index, query: dict[str, Any]) -> list[tuple[dict[str, Any], float]]:
        """Documents with scores, best first."""
        ((kind, body),) = query.items()
        if kind == "knn" and self.product == "opensearch":
            ((name, asked),) = body.items()
            return self.near(index, {"field": name, **asked})
        if kind == "neural" and self.product == "opensearch" and self.embed is not None:
            ((name, asked),) = body.items()
            only(asked, {"query_text", "model_id", "k", "filter"}, kind)
            clause = {"filter": asked["filter"]} if "filter" in asked else {}
            return self.near(
                index, {"field": name, "vector": self.embed(asked["query_text"]), "k": asked["k"], **clause}
            )
        if kind == "script_score":
            only(body, {"query", "script"}, kind)
            score = self.script(index, body["script"])
            found = [(doc, score(doc)) for doc in index.visible if self.passes(index, doc, body["query"])]
        elif kind == "function_score":
            only(body, {"query", "random_score", "boost_mode"}, kind)
            only(body["random_score"], {"seed", "field"}, "random_score")
            assert body["random_score"]["field"] == "_seq_no"
            found = [
                (doc, math.sin(1 + doc["_seq_no"] * 12.9898 + doc["shard"]) % 1)
                for doc in index.visible if self.passes(index, doc, body["query"])
            ]  # fmt: skip
        else:
            words = self.words(index, query)
            found = [(doc, words(doc)) for doc in index.visible if self.passes(index, doc, query)]
        return sorted(found, key=lambda one: -one[1])

    def near(self, index: Index, asked: dict[str, Any]) -> list[tuple[dict[str, Any], float]]:
        """A search of the graph."""
        name, clause = asked["field"], asked.get("filter")
        spec = index.spec(name)
        if self.product == "elasticsearch":
            only(asked, {"field", "query_vector", "k", "num_candidates", "filter"}, "knn")
            assert asked["k"] <= asked["num_candidates"] <= 10_000
            if spec["type"] != "dense_vector" or spec.get("index") is False:
                raise Refusal(400, "illegal_argument_exception", f"to perform knn search on field [{name}] index it")
            vector, space, engine = asked["query_vector"], spec.get("similarity", "cosine"), ""
        else:
            only(asked, {"field", "vector", "k", "filter", "method_parameters"}, "knn")
            only(asked.get("method_parameters", {}), {"ef_search"}, "method_parameters")
            method = spec.get("method", {})
            if str(index.settings.get("knn")) != "true":
                raise Refusal(400, "illegal_argument_exception", "knn is off")
            vector, engine = asked["vector"], method.get("engine", "faiss")
            space = method.get("space_type", spec.get("space_type", "l2"))
            if clause is not None and engine == "nmslib":
                raise Refusal(400, "illegal_argument_exception", "Engine [NMSLIB] does not support filters")
        found = [
            (doc, self.graph_score(space, engine, vector, values_at(doc["source"], name)))
            for doc in index.visible
            if values_at(doc["source"], name) and (clause is None or self.passes(index, doc, clause))
        ]
        ordered = sorted(found, key=lambda one: -one[1])[: asked["k"]]
        return ordered[: math.ceil(len(ordered) * (1 - self.loses))] if clause is not None else ordered

    def graph_score(self, space: str, engine: str, vector: Any, stored: Any) -> float:
        """The score of a search of the graph."""
        query, row = np.float64(vector), np.float64(stored)
        dot = float(query @ row)
        if space in ("cosine", "cosinesimil"):
            cosine = dot / float(np.linalg.norm(query) * np.linalg.norm(row))
            return (1 + cosine) / 2 if engine in ("", "lucene") or self.halved else 1 / (2 - cosine)
        if space == "dot_product":
            return (1 + dot) / 2
        if space in ("max_inner_product", "innerproduct"):
            return dot + 1 if dot >= 0 else 1 / (1 - dot)
        return 1 / (1 + float(((query - row) ** 2).sum()))

    def script(self, index: Index, script: dict[str, Any]) -> Callable[[dict[str, Any]], float]:
        """The score of a script."""
        only(script, {"source", "params", "lang"}, "script")
        params, text = script["params"], script["source"]
        query = np.float64(params["query_value"])
        name = params.get("field") or re.search(r"'(.+?)'", text)[1]  # type: ignore[index]

        def cosine(row: Any) -> float:
            return 1 + float(query @ row / (np.linalg.norm(query) * np.linalg.norm(row)))

        def dot(row: Any) -> float:
            found = float(query @ row)
            return found + 1 if found >= 0 else 1 / (1 - found)

        known = {
            ("elasticsearch", f"cosineSimilarity(params.query_value, '{name}') + 1.0"): cosine,
            (
                "elasticsearch",
                f"double d = dotProduct(params.query_value, '{name}'); return d < 0 ? 1 / (1 - d) : d + 1",
            ): dot,
            ("opensearch", "1.0 + cosineSimilarity(params.query_value, doc[params.field])"): cosine,
            ("opensearch", "knn_score"): dot,
        }
        if (self.product, text) not in known:
            raise Refusal(400, "script_exception", f"compile error: {text}")
        if text == "knn_score":
            assert (script["lang"], params["space_type"]) == ("knn", "innerproduct")
        else:
            assert "lang" not in script
        return lambda doc: known[self.product, text](np.float64(values_at(doc["source"], name)))

    def passes(self, index: Index, doc: dict[str, Any], query: dict[str, Any]) -> bool:
        """Whether a query finds a document."""
        ((kind, body),) = query.items()
        match kind:
            case "match_all":
                return True
            case "exists":
                only(body, {"field"}, kind)
                return bool(values_at(doc["source"], self.base(index, body["field"])))
            case "ids":
                only(body, {"values"}, kind)
                return doc["_id"] in body["values"]
            case "terms":
                ((name, values),) = body.items()
                self.check_exact(index, name)
                return bool(set(values_at(doc["source"], self.base(index, name))) & set(values))
            case "match":
                ((name, asked),) = body.items()
                only(asked, {"query"}, kind)
                return bool(set(self.split(doc, name)) & set(asked["query"].lower().split()))
            case "bool":
                only(body, {"filter", "must", "should", "must_not", "minimum_should_match"}, kind)
                clauses = {one: body.get(one, []) for one in ("filter", "must", "should", "must_not")}
                clauses = {one: some if isinstance(some, list) else [some] for one, some in clauses.items()}
                least = body.get("minimum_should_match", 0)
                return (
                    all(self.passes(index, doc, one) for one in clauses["filter"] + clauses["must"])
                    and not any(self.passes(index, doc, one) for one in clauses["must_not"])
                    and sum(self.passes(index, doc, one) for one in clauses["should"]) >= least
                )
        raise Refusal(400, "parsing_exception", f"unknown query [{kind}]")

    def split(self, doc: dict[str, Any], name: str) -> list[str]:
        """The words of a field."""
        return [word for text in values_at(doc["source"], name) for word in str(text).lower().split()]

    def words(self, index: Index, query: dict[str, Any]) -> Callable[[dict[str, Any]], float]:
        """Scores by words: BM25 with k1 = 1.2 and b = 0.75; 0 for queries that are filters."""
        ((kind, body),) = query.items()
        if kind == "bool":
            some = [self.words(index, one) for part in ("must", "should") for one in body.get(part, [])]
            return lambda doc: sum(one(doc) for one in some)
        if kind != "match":
            return lambda doc: 0.0
        ((name, asked),) = body.items()
        texts = [words for doc in index.visible if (words := self.split(doc, name))]
        mean = np.mean([len(words) for words in texts]) if texts else 1.0
        frequency = Counter(word for words in texts for word in set(words))

        def score(doc: dict[str, Any]) -> float:
            words = self.split(doc, name)
            total = 0.0
            for word in asked["query"].lower().split():
                count, rows = words.count(word), frequency[word]
                rare = math.log(1 + (len(texts) - rows + 0.5) / (rows + 0.5))
                total += rare * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words) / mean))
            return total

        return score


@contextmanager
def serving(server: StandIn) -> Iterator[str]:
    """Serve a stand-in on a port of this machine. Yields `HOST:PORT`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            status, body = server.answer(self.command, self.path, text, self.headers)
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args: Any) -> None:
            del args

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
