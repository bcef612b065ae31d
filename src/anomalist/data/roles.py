"""What names of folders say of the images in them, in the languages of those who sort parts."""

from __future__ import annotations

import enum
import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass


class Role(enum.Enum):
    """What a name says of all that lies below it."""

    GOOD = "good"
    DEFECTIVE = "defective"
    MASK = "masks"
    TRAIN = "train"
    TEST = "test"
    VALIDATION = "validation"
    #: Nobody has said what these are, as of ``unsorted``.
    UNSURE = "unsure"


#: The table: words and phrases of several words, without accents and in lower case. Words of
#: Chinese, Japanese and Korean, which nothing separates, are found within others.
WORDS: dict[Role, dict[str, str]] = {
    Role.GOOD: {
        "English": "good, ok, okay, o k, normal, pass, passed, accept, accepted,"
        " acceptable, conform, conforming, compliant, clean, healthy, intact, flawless, faultless,"
        " undamaged, golden, nominal, perfect",
        "German": "gut, gute, guter, gutes, io, i o, in ordnung, fehlerfrei, fehlerfreie,"
        " fehlerlos, einwandfrei, einwandfreie, makellos, konform",
        "French": "bon, bons, bonne, bonnes, conforme, conformes, accepte, acceptee, sain, saine,"
        " sain et sauf",
        "Spanish": "bueno, buenos, buena, buenas, bien, correcto, correctos, correcta, correctas,"
        " aceptado, aceptados, sano, sanos, apto, aptos",
        "Italian": "buono, buoni, buona, buone, conformi, accettato, accettati, integro, integri,"
        " sani, idoneo, idonei, corretto, corretti",
        "Portuguese": "bom, boa, boas, aceito, aceitos, aprovado, aprovados, aprovada, aprovadas,"
        " perfeito, perfeitos, normais, aceite",
        "Dutch": "goed, goede, goedgekeurd, goedgekeurde, foutloos, normaal, akkoord, gaaf",
        "Polish": "dobry, dobre, dobra, dobrych, poprawny, poprawne, zgodny, zgodne, prawidlowy,"
        " prawidlowe, sprawny, sprawne",
        "Czech": "dobry, dobra, dobre, spravny, spravne, vyhovujici, v poradku, bezvadny, bezvadne,"
        " shodny, shodne",
        "Turkish": "iyi, saglam, hatasiz, kusursuz, uygun, normaller",
        "Swedish, Danish, Norwegian": "bra, god, gode, godkand, godkanda, godkendt, godkjent,"
        " felfri, felfria, fejlfri, feilfri",
        "Finnish": "hyva, hyvat, hyvaksytty, ehja, virheeton, kunnossa",
        "Hungarian": "jo, megfelelo, hibatlan, rendben",
        "Romanian": "bune, buni, conforma, acceptat, normale",
        "Slovak, Slovenian, Croatian": "dobri, dobro, ispravan, ispravno, v redu, u redu",
        "Russian, Ukrainian": "ок, годен, годные, годный, хороший, хорошие, хорошо, норма, нормальный,"
        " нормальные, исправный, исправные, добре, добрі, придатні",
        "Greek": "καλο, καλα, σωστο, σωστα",
        "Vietnamese, Indonesian": "binh thuong, baik, bagus",
        "Chinese": "良品, 合格, 合格品, 正常, 正品, 好品, 好, 无缺陷, 無缺陷, 没有缺陷, 正样本, 良",
        "Japanese": "良品, 正常, 正常品, 合格品, 無欠陥, 欠陥なし, 異常なし, 不良なし, キズなし, 傷なし, "
        "良い, 適合",
        "Korean": "양품, 정상, 정상품, 합격, 합격품, 양호, 무결함",
    },
    Role.DEFECTIVE: {
        "English": "bad, bads, ng, n g, nok, n o k, ko, k o, defect, defects, defective,"
        " defectives, anomaly, anomalies, anomalous, anomal, abnormal, abnormals, abnormality,"
        " fault, faults, faulty, fail, fails, failed, failure, failures, reject, rejects, rejected,"
        " rejection, scrap, scrapped, broken, damage, damages, damaged, flaw, flaws, flawed,"
        " nonconforming, nonconformity, nonconformant, unacceptable, wrong, error, errors, imperfect,"
        " imperfection, imperfections, outlier, outliers, rework, waste, invalid",
        "German": "schlecht, schlechte, schlechter, schlechtes, nio, n i o, ni o, n io, defekt,"
        " defekte, fehler, fehlerhaft, fehlerhafte, ausschuss, mangelhaft, mangel, beschadigt,"
        " beschaedigt, anomalie, anomalien, fehlteil, fehlteile, ausschuß, nacharbeit, schaden",
        "French": "mauvais, mauvaise, mauvaises, defaut, defauts, defectueux, defectueuse,"
        " defectueuses, rebut, rebuts, rejete, rejets, rejet, hs, abime, abimes, endommage,"
        " endommages, anormal, anormaux, anormale, casse, casses",
        "Spanish": "malo, malos, mala, malas, mal, defecto, defectos, defectuoso, defectuosos,"
        " defectuosa, defectuosas, rechazado, rechazados, rechazo, fallo, fallos, falla, fallas,"
        " danado, danados, roto, rotos, anomalia, anomalias, descarte, chatarra, incorrecto",
        "Italian": "cattivo, cattivi, difetto, difetti, difettoso, difettosi, difettosa, difettose,"
        " scarto, scarti, guasto, guasti, rotto, rotti, anomalo, anomali, anormale, danneggiato,"
        " danneggiati, rifiutato, ko",
        "Portuguese": "ruim, ruins, mau, maus, defeito, defeitos, defeituoso, defeituosos,"
        " defeituosa, reprovado, reprovados, refugo, rejeitado, rejeitados, rejeito, falha, falhas,"
        " danificado, danificados, quebrado, sucata",
        "Dutch": "slecht, slechte, fout, foute, fouten, gebrek, gebreken, gebrekkig, afgekeurd,"
        " afgekeurde, afkeur, beschadigd, beschadigde, defecte, defecten, kapot, uitval",
        "Polish": "zly, zle, zla, wada, wady, wadliwy, wadliwe, defekty, uszkodzony, uszkodzone,"
        " odrzut, odrzuty, odrzucone, niezgodny, niezgodne, niepoprawny, niepoprawne, brak, braki,"
        " blad, bledy, blednie, niedobry, niedobre, wybrakowane",
        "Czech": "spatny, spatne, spatna, vadny, vadne, vadna, vada, zmetek, zmetky, neshodny,"
        " neshodne, poskozeny, poskozene, chyba, chyby, chybny, chybne, nevyhovujici, vyrazene",
        "Turkish": "kotu, hata, hatali, hatalar, kusur, kusurlu, kusurlar, bozuk, defolu,"
        " reddedilen, arizali, arizalilar, hurda, anormaller, uygunsuz, hasarli",
        "Swedish, Danish, Norwegian": "dalig, daliga, darlig, darlige, fel, fejl, feil, felaktig,"
        " felaktiga, kasserad, kasserade, kasseret, skadad, skadet, underkand",
        "Finnish": "huono, huonot, viallinen, vialliset, vika, viat, hylatty, hylky, virhe,"
        " virheellinen, virheelliset, rikki",
        "Hungarian": "rossz, hiba, hibas, hibak, selejt, selejtes, nem megfelelo, serult",
        "Romanian": "defecta, defectuoase, rebuturi, respins, respinse",
        "Slovak, Slovenian, Croatian": "zly, napaka, napake, greska,"
        " greske, neispravan, neispravno, izmet, skart",
        "Russian, Ukrainian": "брак, бракованные, бракованный, дефект, дефекты, дефектный,"
        " дефектные, негодный, негодные, плохой, плохие, плохо, аномалия, аномалии, неисправные,"
        " поганий, погані, дефекти, повреждение, поврежденные, ненормальный, ненормальные",
        "Greek": "κακο, κακα, ελαττωματικο, ελαττωματικα, σφαλμα",
        "Vietnamese, Indonesian": "xau, loi, khong dat, cacat, rusak, buruk, gagal",
        "Chinese": "不良, 不良品, 不合格, 不合格品, 缺陷, 异常, 異常, 次品, 坏, 坏品, 壞, 报废, 報廢, 废品, "
        "廢品, 瑕疵, 不正常, 非正常, 非良品, 负样本, 負樣本, 损坏, 損壞, 破损, 划痕, 劃痕, 划伤, 裂纹, 裂紋, "
        "脏污, 髒污, 残次, 坏点, 不好",
        "Japanese": "不良, 不良品, 不合格, 欠陥, 欠陥品, 異常, 異常品, 不適合, 傷, キズ, きず, 割れ, 汚れ, "
        "不正常, 非正常, 悪い, 悪, 破損, 欠け, 打痕, 異物, エラー",
        "Korean": "불량, 불량품, 불합격, 결함, 이상, 비정상, 스크래치, 파손, 오류",
    },
    Role.MASK: {
        "English": "mask, masks, ground truth, ground truths, groundtruth, groundtruths,"
        " gt, gts, segmentation, segmentations, annotation, annotations, label, labels, labelme,"
        " seg, segs, segm, ann, anns, annot, annots, truth, segmentation class, segmentation object, label map, label maps, labelmap, labelmaps",
        "German": "maske, masken, annotationen, markierung, markierungen, segmentierung,"
        " segmentierungen, beschriftung, beschriftungen, wahrheit",
        "French": "masque, masques, verite terrain, etiquettes, segmentation",
        "Spanish": "mascara, mascaras, anotacion, anotaciones, etiquetas, verdad terreno,"
        " segmentacion, segmentaciones",
        "Italian": "maschera, maschere, annotazione, annotazioni, etichette, segmentazione,"
        " segmentazioni",
        "Portuguese": "anotacao, anotacoes, rotulos, segmentacao, segmentacoes",
        "Dutch": "masker, maskers, annotatie, annotaties, segmentatie",
        "Polish": "maska, maski, adnotacja, adnotacje, etykiety, segmentacja",
        "Czech": "masky, anotace, popisky, segmentace",
        "Turkish": "maskeler, etiketler, etiket, segmentasyon, anotasyon",
        "Russian, Ukrainian": "маска, маски, разметка, аннотация, аннотации, сегментация, розмітка",
        "Chinese": "掩码, 掩膜, 掩模, 遮罩, 标注, 標註, 标签, 標籤, 真值, 分割",
        "Japanese": "マスク, アノテーション, ラベル, 正解, 正解画像, 教師画像, マスク画像",
        "Korean": "마스크, 라벨, 레이블, 주석, 정답",
    },
    Role.TRAIN: {
        "English": "train, training, trainset, learn, learning",
        "German": "trainings, lernen, anlernen, einlernen",
        "French": "entrainement, apprentissage",
        "Spanish": "entrenamiento, entrenar, aprendizaje",
        "Italian": "addestramento, allenamento, apprendimento",
        "Portuguese": "treino, treinamento, treinar, aprendizagem",
        "Dutch": "trainen, leren",
        "Polish": "trening, treningowe, treningowy, uczenie, uczace",
        "Czech": "trenovani, trenovaci, uceni, treninkove",
        "Turkish": "egitim, ogrenme",
        "Russian, Ukrainian": "обучение, обучающая, тренировка, навчання",
        "Chinese": "训练, 訓練, 训练集, 訓練集, 学习",
        "Japanese": "訓練, 学習, 学習用, 訓練用, トレーニング",
        "Korean": "훈련, 학습, 트레이닝",
    },
    Role.TEST: {
        "English": "test, tests, testing, testset, eval, evals, evaluation, evaluate, holdout,"
        " hold out, held out, query, inference, infer",
        "German": "prufung, pruefung, pruf, testen, auswertung",
        "French": "essai, essais, evaluations",
        "Spanish": "prueba, pruebas, evaluacion, ensayo",
        "Italian": "prova, prove, valutazione, collaudo",
        "Portuguese": "teste, testes, avaliacao",
        "Dutch": "toets, evaluatie, proef",
        "Polish": "testowe, testowy, testy, ocena",
        "Czech": "testovani, testovaci, zkouska",
        "Turkish": "deneme, sinama, degerlendirme",
        "Russian, Ukrainian": "тест, тесты, проверка, тестовая, тестовые, перевірка",
        "Chinese": "测试, 測試, 测试集, 測試集, 评估, 評估",
        "Japanese": "テスト, 評価, テスト用, 評価用, 試験",
        "Korean": "테스트, 평가, 시험",
    },
    Role.VALIDATION: {
        "English": "val, vals, valid, validation, validate",
        "German": "validierung, validierungs",
        "Spanish": "validacion",
        "Italian": "validazione, convalida",
        "Portuguese": "validacao",
        "Dutch": "validatie",
        "Polish": "walidacja, walidacyjne",
        "Czech": "validace, validacni",
        "Turkish": "dogrulama, gecerleme",
        "Russian, Ukrainian": "валидация, валидационная, валідація",
        "Chinese": "验证, 驗證, 验证集, 驗證集",
        "Japanese": "検証, 検証用, バリデーション",
        "Korean": "검증",
    },
    Role.UNSURE: {
        "English": "unknown, unsorted, unlabeled, unlabelled, unclassified, undecided, unclear,"
        " unsure, uncertain, doubtful, maybe, tbd, to sort, to be sorted, to review, to check, normal map,"
        " normal maps,"
        " questionable, ambiguous, borderline, almost, nearly, pseudo, positive, positives,"
        " negative, negatives, pos, neg, yes, true, false",
        "German": "unbekannt, unsortiert, unklar, zweifelhaft, fraglich, grenzfall, grenzfalle,"
        " grenzfaelle, ungepruft, ungeprueft, beinahe, vielleicht, positiv, negativ, ja, nein",
        "French": "inconnu, inconnus, a trier, a verifier, non trie, douteux, incertain, positif,"
        " negatif, presque, oui",
        "Spanish": "desconocido, desconocidos, dudoso, dudosos, sin clasificar, por clasificar,"
        " positivo, positivos, negativo, negativos, casi",
        "Italian": "sconosciuto, sconosciuti, dubbio, dubbi, da classificare, da verificare,"
        " positivi, negativi, quasi",
        "Portuguese": "desconhecido, desconhecidos, duvidoso, duvidosos, a classificar",
        "Dutch": "onbekend, onbekende, ongesorteerd, twijfel, twijfelachtig, positief, negatief",
        "Polish": "nieznany, nieznane, watpliwy, watpliwe, niesortowane, pozytywne, negatywne",
        "Czech": "neznamy, nezname, nejiste, netridene, pozitivni, negativni",
        "Turkish": "bilinmeyen, belirsiz, supheli, pozitif, negatif",
        "Russian, Ukrainian": "неизвестно, неизвестные, сомнительные, невідомо",
        "Chinese": "未知, 未分类, 未分類, 待定, 待确认, 待確認, 疑似, 待分类, 待检, 未标注",
        "Japanese": "未分類, 不明, 未確認, 保留, 要確認, グレー, 未検査",
        "Korean": "미분류, 미확인, 보류, 미정, 알수없음",
    },
}

#: Names of common kinds of defects: a folder of one of these isn't good even where it stands alone.
#: Unlike the words above they say nothing of a name in which they stand beside others.
DEFECT_KINDS = frozenset(
    (
        "scratch scratches dent dents crack cracks hole holes stain stains burr burrs chip chips"
        " rust corrosion bent bend missing contamination contaminations cut cuts tear tears bubble"
        " bubbles spot spots deformation deformed misaligned misplaced squeeze squeezed poke"
        " wrinkle wrinkles dirt dirty pit pits inclusion inclusions porosity porosities split"
        " fracture fractures leak leaks spall spalling crazing delamination discoloration"
        " kratzer riss risse delle dellen loch locher fleck flecken grat grate rost bruch bruche"
        " beule beulen verschmutzung einschluss einschlusse lunker"
        " rayure rayures fissure fissures bosse bosses trou trous tache taches bavure bavures"
        " rouille rayado rayados rayadura rayaduras grieta grietas abolladura abolladuras mancha"
        " manchas rebaba rebabas oxido arano aranazo graffio graffi crepa crepe ammaccatura"
        " ammaccature macchia macchie bava bave ruggine risco riscos trinca trincas amassado"
        " amassados rebarba rebarbas ferrugem kras krassen barst barsten deuk deuken vlek vlekken"
        " braam bramen roest rysa rysy pekniecie pekniecia wgniecenie wgniecenia plama plamy"
        " zadzior rdza skrabanec skrabance prasklina praskliny promacklina skvrna skvrny otrep"
        " cizik cizikler catlak catlaklar ezik leke lekeler capak pas"
    ).split()
)

# Negations, before a word or behind it.
_NOT_BEFORE = frozenset(
    "not no non nicht kein keine keinen ohne sans pas sin sem senza nem nie bez geen niet zonder"
    " ne neni ej utan uten uden ei fara khong never without zero не нет без".split()
)
_NOT_BEHIND = frozenset("degil free frei vrij frie yok libre".split())
# Grown together with a word only.
_NOT_GLUED = frozenset("un not no non nicht".split())
_NOT_CJK = ("非", "未", "不", "비")

# Words that are masks, or leave all open, only in names in which no other word is unknown: a bottle
# may have its "label torn", and "positive pressure" is no sorting.
_WEAK = frozenset(
    "label labels labelme seg segs segm ann anns annot annots truth etiquettes etiquetas etichette"
    " rotulos etiket etiketler etykiety popisky beschriftung beschriftungen markierung mascara"
    " wahrheit 标签 標籤 分割 ラベル 正解 라벨 레이블 정답 positive positives negative negatives pos neg"
    " yes true false positiv negativ ja nein positif negatif oui positivo positivos negativo"
    " negativos positivi negativi positief negatief pozytywne negatywne pozitivni negativni pozitif"
    " negatif clean bien bra god jo dev val valid".split()
)

# Words that say nothing, alone or grown together with one that does: "gutteile", "okimages".
_NEUTRAL = frozenset(
    (
        "image images img imgs picture pictures pic pics photo photos foto fotos photograph"
        " photographs frame frames sample samples data dataset datasets set sets file files folder"
        " folders part parts piece pieces item items product products object objects class classes"
        " category type rgb raw png jpg jpeg bmp tif tiff binary pixel public private mixed split"
        " all only the and of for my new old original originals"
        " bild bilder teil teile stuck stucke stueck stuecke muster daten satz aufnahme aufnahmen"
        " piece pieces pieza piezas pezzo pezzi peca pecas stuk stukken onderdeel onderdelen"
        " czesc czesci kus kusy dil dily parca parcalar imagen imagenes immagine immagini imagem"
        " imagens beeld beelden 品 件 图 圖 图片 圖片 图像 画像 部品 사진 obraz obrazy zdjecia resim resimler detal detali pruef prueflinge"
    ).split()
)
# Words that tell places, times and views apart, and so no kinds.
_PLACES = frozenset(
    (
        "cam camera cameras kamera line linie line ligne linea linha lijn linia day tag jour dia"
        " giorno dag shift schicht station view ansicht side seite top bottom left right front back"
        " batch lot charge los date week kw woche month year run series serie session lane machine"
        " maschine sensor channel pos s c d l m v no nr part sample"
        " jan feb mar apr may jun jul aug sep sept oct nov dec monday tuesday wednesday thursday"
        " friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag sonntag"
    ).split()
)

_SPECIAL_LETTERS = str.maketrans(
    {"\u0142": "l", "\u00f8": "o", "\u0111": "d", "\u0131": "i", "\u00e6": "ae", "\u0153": "oe"}
)
_CJK = re.compile("[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+")
_RUNS = re.compile(rf"{_CJK.pattern}|(?:(?!{_CJK.pattern})[^\W\d_])+|\d+")
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")
_LONGEST_PHRASE = 3
_SHORT = frozenset({"ok", "ng", "io", "ko", "gt"})


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Parameters
    ----------
    what : Role or None
        GOOD, DEFECTIVE, MASK or UNSURE.
    split : Role or None
        TRAIN, TEST or VALIDATION.
    whole : bool
        Whether no word of the name is left over that isn't known.
    """

    what: Role | None = None
    split: Role | None = None
    whole: bool = False


@functools.lru_cache(maxsize=65536)
def meaning_of(name: str) -> Meaning:
    """Return what the name of a folder says of the images below it.

    Case, accents, separators and numbers don't matter; words may be grown together or told apart
    by capitals. A negation turns good into defective, and defective into good. Where a name says
    several things, a mask is one whatever is masked; otherwise what is safe counts: good beside
    defective is unsure, and train beside test is test.

    Parameters
    ----------
    name : str
        Of one folder.

    Examples
    --------
    >>> meaning_of("OK_Teile 2024").what, meaning_of("n.i.O.").what, meaning_of("NoDefects").what
    (<Role.GOOD: 'good'>, <Role.DEFECTIVE: 'defective'>, <Role.GOOD: 'good'>)
    >>> meaning_of("test_public").split, meaning_of("GroundTruth").what
    (<Role.TEST: 'test'>, <Role.MASK: 'masks'>)
    >>> meaning_of("label_torn")
    Meaning(what=None, split=None, whole=False)
    """
    tokens = list(_tokens(name))
    found: list[tuple[Role, bool]] = []
    whole, negated, i = True, False, 0
    while i < len(tokens):
        role, length = _phrase(tokens, i)
        word = tokens[i]
        if role is not None:
            behind = i + length < len(tokens) and tokens[i + length] in _NOT_BEHIND
            if negated or behind:
                role = _opposite(role)
                length += behind
            if role is None:
                whole = False
            else:
                found.append((role, " ".join(tokens[i : i + length]) in _WEAK))
            negated = False
        elif word in _NOT_BEFORE:
            negated = True
        elif not (word in _NEUTRAL or word in _PLACES or word.isdigit()):
            whole = negated = False
        i += length
    roles = {role for role, weak in found if whole or not weak}
    return Meaning(_what(roles), _split(roles), whole and bool(tokens))


def is_kind(name: str) -> bool:
    """Say whether a name is that of a common kind of defect, such as ``scratch`` or ``Kratzer``.

    Examples
    --------
    >>> is_kind("Scratches_2"), is_kind("Kratzer"), is_kind("cutter")
    (True, True, False)
    """
    words = [token for token in _tokens(name) if not (token.isdigit() or token in _NEUTRAL)]
    return bool(words) and all(word in _KINDS for word in words)


def is_place(name: str) -> bool:
    """Say whether a name tells times, cameras, lines or samples apart: ``2024-01-05``, ``cam 1``.

    Examples
    --------
    >>> is_place("2024-01-05"), is_place("cam1"), is_place("S0001"), is_place("Montag")
    (True, True, True, True)
    >>> is_place("scratch"), is_place("A")
    (False, False)
    """
    tokens = list(_tokens(name))
    numbers = any(token.isdigit() for token in tokens)
    return bool(tokens) and all(
        token.isdigit()
        or (token in _PLACES and (numbers or len(token) > 1))
        or (numbers and len(token) == 1)
        for token in tokens
    )


def is_neutral(name: str) -> bool:
    """Say whether a name says nothing, such as ``images``.

    Examples
    --------
    >>> is_neutral("Images"), is_neutral("images_2"), is_neutral("good images")
    (True, True, False)
    """
    tokens = list(_tokens(name))
    return bool(tokens) and all(token in _NEUTRAL or token.isdigit() for token in tokens)


def folded(text: str) -> str:
    """Return a text without case, accents and the width of its letters.

    Examples
    --------
    >>> folded("D\u00c9FAUTS"), folded("\uff2f\uff2b"), folded("Ausschu\u00df")
    ('defauts', 'ok', 'ausschuss')
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_SPECIAL_LETTERS)
    if text.isascii():
        return text
    return "".join(map(_plain, text))


def _plain(letter: str) -> str:
    if _CJK.match(letter):  # whose marks make other letters
        return letter
    parts = unicodedata.normalize("NFD", letter)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


def _tokens(name: str) -> Iterator[str]:
    for run in _RUNS.findall(unicodedata.normalize("NFKC", name).replace("\u0307", "")):
        if _CJK.match(run):
            yield from _cjk(run)
        elif run.isdigit():
            yield run
        else:
            yield from _words(run)


def _words(run: str) -> list[str]:
    word = folded(run)
    if word in _SINGLE:
        return [word]
    grown = _grown(word)
    if grown is not None:
        return grown
    pieces = _CAMEL.split(run)
    if len(pieces) == 1:
        return [word]
    return [token for piece in pieces for token in _words(piece)]


def _grown(word: str, most: int = _LONGEST_PHRASE) -> list[str] | None:
    """The known words that a word is grown together of."""
    if word in _SINGLE:
        return [word] if len(word) > 2 or word in _SHORT else None
    if most == 1:
        return None
    for end in range(len(word) - 2, 1, -1):
        first = word[:end]
        if first in _NOT_GLUED or (first in _SINGLE and (end > 2 or first in _SHORT)):
            rest = _grown(word[end:], most - 1)
            if rest is not None:
                return ["not" if first == "un" else first, *rest]
    return None


def _cjk(run: str) -> Iterator[str]:
    """The words in a run of letters that nothing separates."""
    at = 0
    while at < len(run):
        for end in range(min(len(run), at + _LONGEST_CJK), at, -1):
            word = run[at:end]
            # A single letter within others is part of many words.
            if word in _SINGLE and (len(word) > 1 or word == run or not _is_good(word)):
                yield word
                break
        else:
            yield "not" if run[at] in _NOT_CJK else run[at]
            end = at + 1
        at = end


def _is_good(word: str) -> bool:
    return _TABLE.get((word,)) is Role.GOOD


def _phrase(tokens: list[str], start: int) -> tuple[Role | None, int]:
    for length in range(min(_LONGEST_PHRASE, len(tokens) - start), 0, -1):
        role = _TABLE.get(tuple(tokens[start : start + length]))
        if role is not None:
            return role, length
    return None, 1


def _opposite(role: Role) -> Role | None:
    return {Role.GOOD: Role.DEFECTIVE, Role.DEFECTIVE: Role.GOOD}.get(role)


def _what(roles: set[Role]) -> Role | None:
    if Role.MASK in roles:
        return Role.MASK
    if Role.DEFECTIVE in roles:
        return Role.UNSURE if Role.GOOD in roles else Role.DEFECTIVE
    return next((role for role in (Role.UNSURE, Role.GOOD) if role in roles), None)


def _split(roles: set[Role]) -> Role | None:
    order = (Role.TEST, Role.VALIDATION, Role.TRAIN)
    return next((role for role in order if role in roles), None)


def _table() -> dict[tuple[str, ...], Role]:
    # What is safe wins where two languages mean different things.
    order = (Role.GOOD, Role.TRAIN, Role.VALIDATION, Role.TEST, Role.UNSURE, Role.MASK)
    table: dict[tuple[str, ...], Role] = {}
    for role in (*order, Role.DEFECTIVE):
        for words in WORDS[role].values():
            for phrase in words.split(","):
                table[tuple(folded(word) for word in phrase.split())] = role
    return table


_TABLE = _table()
_KINDS = frozenset(map(folded, DEFECT_KINDS))
_SINGLE = (
    {phrase[0] for phrase in _TABLE if len(phrase) == 1}
    | _NEUTRAL
    | _NOT_BEFORE
    | _NOT_BEHIND
    | {word for word in _PLACES if len(word) > 2}
)
_LONGEST_CJK = max(len(word) for word in _SINGLE if _CJK.match(word))
