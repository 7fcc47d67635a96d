#!/usr/bin/env bash
# langdetect 1.0.9
#
# Expected (written before the run): queries in Chinese characters only are Chinese or Japanese, whatever else is uncertain.
#   Korean is written in Hangul.
# Observed: nearly every short query in traditional characters, and Japanese ones in kanji alone, is Korean, with a
#   probability of .99. "圖書館" (library), "東京" (Tokyo), "臺北" (Taipei) and "香港天氣" (weather in Hong Kong) are all "ko".
#   Simplified characters are mostly "zh-cn".
# For a user of retrieval: a router or a language filter sends Taiwan's, Hong Kong's and Japan's short queries to the Korean
#   index. Check the script first: without Hangul it is not Korean.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check langdetect==1.0.9 setuptools==80.9.0
cd "$work"
venv/bin/python - <<'PY'
import langdetect

traditional = ["圖片", "台灣", "臺北", "電腦", "如何保存圖片", "香港天氣", "飛機票", "下載檔案", "機場", "圖書館", "明天天氣", "新聞", "股票", "醫院", "火車時刻表"]
kanji = ["東京", "東京大学", "保存方法", "東京駅", "天気予報", "新幹線", "図書館"]
simplified = ["图片", "如何保存图片", "飞机票", "学习中文", "图书馆", "医院"]
share = {}
for name, texts in (("traditional", traditional), ("kanji only", kanji), ("simplified", simplified)):
    langdetect.DetectorFactory.seed = 0
    found = [langdetect.detect(text) for text in texts]
    share[name] = found.count("ko") / len(found)
    print(f"{name}: Korean {share[name]:.0%} of {len(texts)};", dict(zip(texts, found)))
sure = langdetect.detect_langs("圖書館")[0]
print("圖書館:", sure)
assert share["traditional"] > 0.8 and share["kanji only"] > 0.8 and share["simplified"] < 0.2, "characters are no longer Korean"
assert sure.lang == "ko" and sure.prob > 0.95
PY
