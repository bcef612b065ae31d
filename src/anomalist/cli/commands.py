"""The commands: what each does, and command lines to begin with."""

from __future__ import annotations

#: What each does, by what it is for.
PURPOSES: dict[str, dict[str, str]] = {
    "to look around": {
        "demo": "draw a sample set, run quick detectors and an ensemble on it, write the report",
        "list": "list detectors, backbones, presets and known data sets",
    },
    "to inspect parts": {
        "fit": "learn from good images, with a threshold of a stated false-alarm rate",
        "predict": "score images: decisions, heatmaps, regions",
        "evaluate": "measure a model on images that are known to be good or defective",
        "calibrate": "take the threshold from new good images, where photographs have changed",
        "info": "tell what is in a model file",
        "export": "write a model as an ONNX or OpenVINO graph that does the same",
        "serve": "inspect over HTTP, with a page, remembering every decision",
    },
    "to compare methods": {
        "benchmark": "run detectors x categories x seeds on a data set, resumably",
        "stress": "measure detectors with few or bad photographs, other light, focus and framing",
        "reproduce": "hold published numbers of MVTec AD against runs of our own",
        "report": "write the tables and report.html of a results folder again",
        "measure": "measure anyone's anomaly maps and scores",
        "submit": "write what the evaluation server of MVTec AD 2 takes",
    },
    "to have images": {
        "download": "fetch a public data set, verified and resumable",
        "synthesize": "draw synthetic defects on good images, to look at them",
    },
}
#: What each does.
COMMANDS: dict[str, str] = {
    name: text for commands in PURPOSES.values() for name, text in commands.items()
}
#: Command lines to begin with: the help shows them, and who misuses one is told the first.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("anomalist demo", "anomalist demo --serve"),
    "fit": (
        "anomalist fit patchcore --data parts/good --out part.anomalist",
        "anomalist fit patchcore+padim --data parts --out part.anomalist --alpha 0.01",
    ),
    "predict": (
        "anomalist predict part.anomalist photos --out inspected",
        "anomalist predict part.anomalist incoming --out inspected --watch 5",
    ),
    "evaluate": ("anomalist evaluate part.anomalist parts --out measured",),
    "calibrate": ("anomalist calibrate part.anomalist --data parts/new --out newer.anomalist",),
    "export": ("anomalist export part.anomalist --out part.onnx",),
    "serve": (
        "anomalist serve models",
        "anomalist serve tokens make line-1 --role inspect",
    ),
    "info": ("anomalist info part.anomalist",),
    "benchmark": (
        "anomalist benchmark data/mvtec_ad --detectors patchcore,padim --seeds 0,1,2",
        "anomalist benchmark parts --detectors patchcore,small=patchcore"
        " --small.coreset_ratio 0.01",
    ),
    "stress": (
        "anomalist stress data/mvtec_ad --categories bottle --detectors patchcore,padim",
        "anomalist stress parts --conditions shots,brightness=0.8:1.2 --detectors patchcore",
    ),
    "reproduce": ("anomalist reproduce data/mvtec_ad --detectors patchcore",),
    "report": ("anomalist report results",),
    "measure": ("anomalist measure --maps maps --data parts --out measured",),
    "submit": ("anomalist submit data/mvtec_ad_2 --detectors patchcore --out archive.tar.gz",),
    "list": ("anomalist list",),
    "synthesize": ("anomalist synthesize parts/good --out synthetic.png",),
    "download": ("anomalist download mvtec_ad --categories bottle",),
}
