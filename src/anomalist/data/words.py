"""Words by which people name folders, in the languages of those who sort parts."""

from __future__ import annotations

import enum


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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: The table: words and phrases of several words, by commas, without accents and in lower case.
#: Words of Chinese, Japanese and Korean, which nothing separates, are found within others.
WORDS: dict[Role, dict[str, str]] = {
    Role.GOOD: {
        "English": "good, ok, okay, o k, normal, pass, passed, accept, accepted, acceptable,"
        " conform, conforming, compliant, clean, healthy, intact, flawless, faultless,"
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
        "Czech": "dobry, dobra, dobre, spravny, spravne, vyhovujici, v poradku, bezvadny,"
        " bezvadne, shodny, shodne",
        "Turkish": "iyi, saglam, hatasiz, kusursuz, uygun, normaller",
        "Swedish, Danish, Norwegian": ""
        "bra, god, gode, godkand, godkanda, godkendt, godkjent, felfri, felfria, fejlfri,"
        " feilfri",
        "Finnish": "hyva, hyvat, hyvaksytty, ehja, virheeton, kunnossa",
        "Hungarian": "jo, megfelelo, hibatlan, rendben",
        "Romanian": "bune, buni, conforma, acceptat, normale",
        "Slovak, Slovenian, Croatian": "dobri, dobro, ispravan, ispravno, v redu, u redu",
        "Russian, Ukrainian": ""
        "ок, годен, годные, годный, хороший, хорошие, хорошо, норма, нормальный,"
        " нормальные, исправный, исправные, добре, добрі, придатні",
        "Greek": "καλο, καλα, σωστο, σωστα",
        "Vietnamese, Indonesian": "binh thuong, baik, bagus",
        "Chinese": "良品, 合格, 合格品, 正常, 正品, 好品, 好, 无缺陷, 無缺陷, 没有缺陷, 正样本, 良",
        "Japanese": "良品, 正常, 正常品, 合格品, 無欠陥, 欠陥なし, 異常なし, 不良なし, キズなし,"
        " 傷なし, 良い, 適合",
        "Korean": "양품, 정상, 정상품, 합격, 합격품, 양호, 무결함",
    },
    Role.DEFECTIVE: {
        "English": ""
        "bad, bads, ng, n g, nok, n o k, ko, k o, defect, defects, defective, defectives,"
        " anomaly, anomalies, anomalous, anomal, abnormal, abnormals, abnormality, fault,"
        " faults, faulty, fail, fails, failed, failure, failures, reject, rejects,"
        " rejected, rejection, scrap, scrapped, broken, damage, damages, damaged, flaw,"
        " flaws, flawed, nonconforming, nonconformity, nonconformant, unacceptable, wrong,"
        " error, errors, imperfect, imperfection, imperfections, outlier, outliers,"
        " rework, waste, invalid",
        "German": "schlecht, schlechte, schlechter, schlechtes, nio, n i o, ni o, n io, defekt,"
        " defekte, fehler, fehlerhaft, fehlerhafte, ausschuss, mangelhaft, mangel,"
        " beschadigt, beschaedigt, anomalie, anomalien, fehlteil, fehlteile, ausschuß,"
        " nacharbeit, schaden",
        "French": "mauvais, mauvaise, mauvaises, defaut, defauts, defectueux, defectueuse,"
        " defectueuses, rebut, rebuts, rejete, rejets, rejet, hs, abime, abimes,"
        " endommage, endommages, anormal, anormaux, anormale, casse, casses",
        "Spanish": "malo, malos, mala, malas, mal, defecto, defectos, defectuoso, defectuosos,"
        " defectuosa, defectuosas, rechazado, rechazados, rechazo, fallo, fallos, falla,"
        " fallas, danado, danados, roto, rotos, anomalia, anomalias, descarte, chatarra,"
        " incorrecto",
        "Italian": "cattivo, cattivi, difetto, difetti, difettoso, difettosi, difettosa, difettose,"
        " scarto, scarti, guasto, guasti, rotto, rotti, anomalo, anomali, anormale,"
        " danneggiato, danneggiati, rifiutato, ko",
        "Portuguese": ""
        "ruim, ruins, mau, maus, defeito, defeitos, defeituoso, defeituosos, defeituosa,"
        " reprovado, reprovados, refugo, rejeitado, rejeitados, rejeito, falha, falhas,"
        " danificado, danificados, quebrado, sucata",
        "Dutch": "slecht, slechte, fout, foute, fouten, gebrek, gebreken, gebrekkig, afgekeurd,"
        " afgekeurde, afkeur, beschadigd, beschadigde, defecte, defecten, kapot, uitval",
        "Polish": "zly, zle, zla, wada, wady, wadliwy, wadliwe, defekty, uszkodzony, uszkodzone,"
        " odrzut, odrzuty, odrzucone, niezgodny, niezgodne, niepoprawny, niepoprawne,"
        " brak, braki, blad, bledy, blednie, niedobry, niedobre, wybrakowane",
        "Czech": "spatny, spatne, spatna, vadny, vadne, vadna, vada, zmetek, zmetky, neshodny,"
        " neshodne, poskozeny, poskozene, chyba, chyby, chybny, chybne, nevyhovujici,"
        " vyrazene",
        "Turkish": "kotu, hata, hatali, hatalar, kusur, kusurlu, kusurlar, bozuk, defolu,"
        " reddedilen, arizali, arizalilar, hurda, anormaller, uygunsuz, hasarli",
        "Swedish, Danish, Norwegian": ""
        "dalig, daliga, darlig, darlige, fel, fejl, feil, felaktig, felaktiga, kasserad,"
        " kasserade, kasseret, skadad, skadet, underkand",
        "Finnish": "huono, huonot, viallinen, vialliset, vika, viat, hylatty, hylky, virhe,"
        " virheellinen, virheelliset, rikki",
        "Hungarian": "rossz, hiba, hibas, hibak, selejt, selejtes, nem megfelelo, serult",
        "Romanian": "defecta, defectuoase, rebuturi, respins, respinse",
        "Slovak, Slovenian, Croatian": ""
        "zly, napaka, napake, greska, greske, neispravan, neispravno, izmet, skart",
        "Russian, Ukrainian": ""
        "брак, бракованные, бракованный, дефект, дефекты, дефектный, дефектные, негодный,"
        " негодные, плохой, плохие, плохо, аномалия, аномалии, неисправные, поганий,"
        " погані, дефекти, повреждение, поврежденные, ненормальный, ненормальные",
        "Greek": "κακο, κακα, ελαττωματικο, ελαττωματικα, σφαλμα",
        "Vietnamese, Indonesian": "xau, loi, khong dat, cacat, rusak, buruk, gagal",
        "Chinese": "不良, 不良品, 不合格, 不合格品, 缺陷, 异常, 異常, 次品, 坏, 坏品, 壞, 报废,"
        " 報廢, 废品, 廢品, 瑕疵, 不正常, 非正常, 非良品, 负样本, 負樣本, 损坏, 損壞,"
        " 破损, 划痕, 劃痕, 划伤, 裂纹, 裂紋, 脏污, 髒污, 残次, 坏点, 不好",
        "Japanese": ""
        "不良, 不良品, 不合格, 欠陥, 欠陥品, 異常, 異常品, 不適合, 傷, キズ, きず, 割れ,"
        " 汚れ, 不正常, 非正常, 悪い, 悪, 破損, 欠け, 打痕, 異物, エラー",
        "Korean": "불량, 불량품, 불합격, 결함, 이상, 비정상, 스크래치, 파손, 오류",
    },
    Role.MASK: {
        "English": "mask, masks, ground truth, ground truths, groundtruth, groundtruths, gt, gts,"
        " segmentation, segmentations, annotation, annotations, label, labels, labelme,"
        " seg, segs, segm, ann, anns, annot, annots, truth, segmentation class,"
        " segmentation object, label map, label maps, labelmap, labelmaps",
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
        " unsure, uncertain, doubtful, maybe, tbd, to sort, to be sorted, to review,"
        " to check, normal map, normal maps, questionable, ambiguous, borderline, almost,"
        " nearly, pseudo, positive, positives, negative, negatives, pos, neg, yes, true,"
        " false",
        "German": "unbekannt, unsortiert, unklar, zweifelhaft, fraglich, grenzfall, grenzfalle,"
        " grenzfaelle, ungepruft, ungeprueft, beinahe, vielleicht, positiv, negativ, ja,"
        " nein",
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
DEFECT_KINDS = _words(
    """
    abolladura abolladuras amassado amassados ammaccatura ammaccature aranazo arano barst
    barsten bava bave bavure bavures bend bent beule beulen bosse bosses braam bramen bruch
    bruche bubble bubbles burr burrs capak catlak catlaklar chip chips cizik cizikler
    contamination contaminations corrosion crack cracks crazing crepa crepe cut cuts
    deformation deformed delamination delle dellen dent dents deuk deuken dirt dirty
    discoloration einschluss einschlusse ezik ferrugem fissure fissures fleck flecken
    fracture fractures graffi graffio grat grate grieta grietas hole holes inclusion
    inclusions kras krassen kratzer leak leaks leke lekeler loch locher lunker macchia
    macchie mancha manchas misaligned misplaced missing otrep oxido pas pekniecia pekniecie
    pit pits plama plamy poke porosities porosity prasklina praskliny promacklina rayado
    rayados rayadura rayaduras rayure rayures rdza rebaba rebabas rebarba rebarbas risco
    riscos riss risse roest rost rouille ruggine rust rysa rysy scratch scratches skrabance
    skrabanec skvrna skvrny spall spalling split spot spots squeeze squeezed stain stains
    tache taches tear tears trinca trincas trou trous verschmutzung vlek vlekken wgniecenia
    wgniecenie wrinkle wrinkles zadzior
    """
)

#: Negations before a word, behind it, and grown together with it.
NOT_BEFORE = _words(
    """
    bez ei ej fara geen kein keine keinen khong ne nem neni never nicht nie niet no non not
    ohne pas sans sem senza sin uden utan uten without zero zonder без не нет
    """
)

NOT_BEHIND = _words(
    """
    degil free frei frie libre vrij yok
    """
)

NOT_GLUED = _words("un not no non nicht")
NOT_CJK = _words("非 未 不 비")

#: Words that are masks, or leave all open, only in names in which no other word is unknown: a
#: bottle may have its "label torn", and "positive pressure" is no sorting.
WEAK = _words(
    """
    ann annot annots anns beschriftung beschriftungen bien bra clean dev etichette etiket
    etiketler etiquetas etiquettes etykiety false god ja jo label labelme labels markierung
    mascara neg negatief negatif negativ negative negatives negativi negativni negativo
    negativos negatywne nein oui popisky pos positief positif positiv positive positives
    positivi positivo positivos pozitif pozitivni pozytywne rotulos seg segm segs true truth
    val valid wahrheit yes ラベル 分割 标签 標籤 正解 라벨 레이블 정답
    """
)

#: Words that say nothing, alone or grown together with one that does: "gutteile", "okimages".
NEUTRAL = _words(
    """
    all and aufnahme aufnahmen beeld beelden bild bilder binary bmp category class classes
    czesc czesci data dataset datasets daten detal detali dil dily file files folder folders
    for foto fotos frame frames image imagem imagen imagenes imagens images img imgs
    immagine immagini item items jpeg jpg kus kusy mixed muster my new object objects obraz
    obrazy of old onderdeel onderdelen only original originals parca parcalar part parts
    peca pecas pezzi pezzo photo photograph photographs photos pic pics picture pictures
    piece pieces pieza piezas pixel png private product products pruef prueflinge public raw
    resim resimler rgb sample samples satz set sets split stuck stucke stueck stuecke stuk
    stukken teil teile the tif tiff type zdjecia 件 品 图 图像 图片 圖 圖片 画像 部品 사진
    """
)

#: Words that tell places, times and views apart, and so no kinds.
PLACES = _words(
    """
    ansicht apr aug back batch bottom c cam camera cameras channel charge d dag date day dec
    dia dienstag donnerstag feb freitag friday front giorno jan jour jul jun kamera kw l
    lane left ligne lijn line linea linha linia linie los lot m machine mar maschine may
    mittwoch monday montag month no nov nr oct part pos right run s sample samstag saturday
    schicht seite sensor sep sept serie series session shift side sonntag station sunday tag
    thursday top tuesday v view wednesday week woche year
    """
)
