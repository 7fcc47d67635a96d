"""Question words, and forms of questions, by language."""

from __future__ import annotations

from typing import NamedTuple

from babelmix.corpus.languages import canonical_language


class QuestionWords(NamedTuple):
    """How a language asks.

    Args:
        what: its word for "what".
        forms: questions about a heading, which stands for `{}`. The same place has the same meaning in every language: "What is
            it?", "What is it about?", "How does it work?", "What should I know?". The heading is in its basic form everywhere.

    """

    what: str
    forms: tuple[str, str, str, str]

    @property
    def marks(self) -> tuple[str, str]:
        """The marks before and after a question."""
        first = self.forms[0]
        end = first.rstrip("?？؟;")
        return ("¿" if first.startswith("¿") else "", first[len(end) :])


FORMS = 4
"""The number of forms of a language."""

_WORDS = {
    "ar": QuestionWords("ماذا", ("ما هو {}؟", "{}: عمّ يدور الموضوع؟", "{}: كيف يعمل ذلك؟", "{}: ماذا ينبغي أن أعرف؟")),
    "bg": QuestionWords("какво", ("Какво е {}?", "{}: за какво става дума?", "{}: как работи?", "{}: какво трябва да знам?")),
    "ca": QuestionWords("què", ("Què és {}?", "{}: de què es tracta?", "{}: com funciona?", "{}: què he de saber?")),
    "cs": QuestionWords("co", ("Co je {}?", "{}: o co jde?", "{}: jak to funguje?", "{}: co potřebuji vědět?")),
    "da": QuestionWords(
        "hvad", ("Hvad er {}?", "{}: hvad handler det om?", "{}: hvordan fungerer det?", "{}: hvad skal jeg vide?")
    ),
    "de": QuestionWords("was", ("Was ist {}?", "{}: Worum geht es?", "{}: Wie funktioniert das?", "{}: Was muss ich wissen?")),
    "el": QuestionWords("τι", ("Τι είναι {};", "{}: περί τίνος πρόκειται;", "{}: πώς λειτουργεί;", "{}: τι πρέπει να γνωρίζω;")),
    "en": QuestionWords("what", ("What is {}?", "{}: what is it about?", "{}: how does it work?", "{}: what should I know?")),
    "es": QuestionWords("qué", ("¿Qué es {}?", "{}: ¿de qué se trata?", "{}: ¿cómo funciona?", "{}: ¿qué debo saber?")),
    "et": QuestionWords("mis", ("Mis on {}?", "{}: millest jutt käib?", "{}: kuidas see töötab?", "{}: mida ma pean teadma?")),
    "eu": QuestionWords("zer", ("Zer da {}?", "{}: zertaz ari da?", "{}: nola funtzionatzen du?", "{}: zer jakin behar dut?")),
    "fa": QuestionWords("چه چیزی", ("{} چیست؟", "{}: موضوع چیست؟", "{}: چگونه کار می‌کند؟", "{}: چه چیزی باید بدانم؟")),
    "fi": QuestionWords("mikä", ("Mikä on {}?", "{}: mistä on kyse?", "{}: miten se toimii?", "{}: mitä minun pitää tietää?")),
    "fr": QuestionWords(
        "quoi", ("Qu'est-ce que {} ?", "{} : de quoi s'agit-il ?", "{} : comment ça marche ?", "{} : que faut-il savoir ?")
    ),
    "gl": QuestionWords("que", ("Que é {}?", "{}: de que se trata?", "{}: como funciona?", "{}: que debo saber?")),
    "he": QuestionWords("מה", ("מה זה {}?", "{}: במה מדובר?", "{}: איך זה עובד?", "{}: מה צריך לדעת?")),
    "hi": QuestionWords(
        "क्या", ("{} क्या है?", "{}: यह किस बारे में है?", "{}: यह कैसे काम करता है?", "{}: मुझे क्या जानना चाहिए?")
    ),
    "hr": QuestionWords("što", ("Što je {}?", "{}: o čemu je riječ?", "{}: kako to radi?", "{}: što trebam znati?")),
    "hu": QuestionWords("mi", ("{}: mi ez?", "{}: miről szól?", "{}: hogyan működik?", "{}: mit kell tudnom?")),
    "id": QuestionWords(
        "apa", ("Apa itu {}?", "{}: tentang apa?", "{}: bagaimana cara kerjanya?", "{}: apa yang perlu saya ketahui?")
    ),
    "it": QuestionWords(
        "che cosa", ("Che cos'è {}?", "{}: di che cosa si tratta?", "{}: come funziona?", "{}: che cosa devo sapere?")
    ),
    "ja": QuestionWords(
        "何", ("{}とは何ですか？", "{}：何についてですか？", "{}：どのように機能しますか？", "{}：何を知っておくべきですか？")
    ),
    "ko": QuestionWords(
        "무엇", ("{}은(는) 무엇인가요?", "{}: 무엇에 관한 것인가요?", "{}: 어떻게 작동하나요?", "{}: 무엇을 알아야 하나요?")
    ),
    "nb": QuestionWords("hva", ("Hva er {}?", "{}: hva handler det om?", "{}: hvordan fungerer det?", "{}: hva må jeg vite?")),
    "nl": QuestionWords("wat", ("Wat is {}?", "{}: waar gaat het over?", "{}: hoe werkt het?", "{}: wat moet ik weten?")),
    "pl": QuestionWords("co", ("Co to jest {}?", "{}: o co chodzi?", "{}: jak to działa?", "{}: co trzeba wiedzieć?")),
    "pt": QuestionWords("o que", ("O que é {}?", "{}: de que se trata?", "{}: como funciona?", "{}: o que devo saber?")),
    "ro": QuestionWords("ce", ("Ce este {}?", "{}: despre ce este vorba?", "{}: cum funcționează?", "{}: ce trebuie să știu?")),
    "ru": QuestionWords("что", ("Что такое {}?", "{}: о чём идёт речь?", "{}: как это работает?", "{}: что нужно знать?")),
    "sk": QuestionWords("čo", ("Čo je {}?", "{}: o čo ide?", "{}: ako to funguje?", "{}: čo potrebujem vedieť?")),
    "sl": QuestionWords("kaj", ("Kaj je {}?", "{}: za kaj gre?", "{}: kako deluje?", "{}: kaj moram vedeti?")),
    "sv": QuestionWords("vad", ("Vad är {}?", "{}: vad handlar det om?", "{}: hur fungerar det?", "{}: vad behöver jag veta?")),
    "th": QuestionWords("อะไร", ("{} คืออะไร?", "{}: เกี่ยวกับอะไร?", "{}: ทำงานอย่างไร?", "{}: ควรรู้อะไรบ้าง?")),
    "tr": QuestionWords("ne", ("{} nedir?", "{}: konu nedir?", "{}: nasıl çalışır?", "{}: ne bilmem gerekir?")),
    "uk": QuestionWords("що", ("Що таке {}?", "{}: про що йдеться?", "{}: як це працює?", "{}: що потрібно знати?")),
    "vi": QuestionWords("cái gì", ("{} là gì?", "{}: nói về điều gì?", "{}: hoạt động như thế nào?", "{}: tôi cần biết gì?")),
    "zh": QuestionWords("什么", ("什么是{}？", "{}：讲的是什么？", "{}：如何运作？", "{}：我需要了解什么？")),
    "zh-Hant": QuestionWords("什麼", ("什麼是{}？", "{}：講的是什麼？", "{}：如何運作？", "{}：我需要瞭解什麼？")),
}  # fmt: skip
_SAME = {"no": "nb", "nn": "nb", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "zh-MO": "zh-Hant"}


def question_words(lang: str) -> QuestionWords | None:
    """How a language asks; None if that is not known.

    Args:
        lang: a BCP 47 tag. `zh-TW` is written with traditional characters; other regions do not matter.

    Examples:
        >>> question_words("pt-BR").forms[0].format("um copo"), question_words("la")
        ('O que é um copo?', None)

    """
    tag = canonical_language(lang)
    for end in range(len(parts := tag.split("-")), 0, -1):
        name = "-".join(parts[:end])
        if found := _WORDS.get(_SAME.get(name, name)):
            return found
    return None


__all__ = ["FORMS", "QuestionWords", "question_words"]
