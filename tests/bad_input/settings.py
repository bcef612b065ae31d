"""Arguments, hyperparameters and files of settings that make no sense."""

from __future__ import annotations

from tests.bad_input.case import (
    Case,
    benchmark,
    both,
    content,
    fit,
    parts,
    predict,
    weights,
)

CASES = [
    Case(
        "a kind of made defect that there isn't",
        "synthesize parts --kinds stain,rust --out sheet.png",
        "anomalist: error: no made defect 'rust'; there are cut_paste, scratch, stain, missing,"
        " dent, blur, turned_piece, crack, pits, discoloured, blended_piece, perlin_texture",
        1,
        parts,
    ),
    predict(
        "a heatmap of no size",
        "photos --heatmap_size 0",
        "anomalist: error: heatmap_size must be from 16 to 100,000 pixels, not 0",
        1,
        parts,
    ),
    predict(
        "a format that heatmaps don't have",
        "photos --heatmap_format gif",
        "anomalist: error: --heatmap_format: expected one of 'png', 'jpg'. Got value: gif"
        " (anomalist predict --help)",
        2,
        parts,
    ),
    *(
        Case(
            f"a false-alarm rate of {value}",
            f"{command} --alpha {value}",
            f"anomalist: error: {answer.format(command.split()[0])}",
            code,
            parts,
        )
        for command in (
            "fit patchcore --data parts --out new.anomalist",
            "predict model.anomalist photos --out out",
            "evaluate model.anomalist parts --out out",
            "export model.anomalist --out new.onnx",
            "benchmark parts --out results",
        )
        for value, answer, code in (
            ("0", "alpha must be between 0 and 1, not 0.0", 1),
            ("1", "alpha must be between 0 and 1, not 1.0", 1),
            ("nan", "--alpha: expected a number. Got value: nan (anomalist {} --help)", 2),
            ("text", "--alpha: expected a number. Got value: text (anomalist {} --help)", 2),
        )
    ),
    *(
        Case(
            f"PRO up to a false positive rate of {value}",
            f"{command} --pro_limits 0.05,{value}",
            f"anomalist: error: fpr_limit must be above 0 and at most 1, not {told}",
            1,
            parts,
        )
        for command in ("evaluate model.anomalist parts --out out", "benchmark parts --out results")
        for value, told in (("0", "0.0"), ("30", "30.0"), ("nan", "nan"))
    ),
    *(
        Case(
            f"a split of {value}",
            f"{command} --split {value}",
            f"anomalist: error: {answer.format(command.split()[0])}",
            code,
            parts,
        )
        for command in (
            "fit patchcore --data parts --out new.anomalist",
            "benchmark parts --out results",
        )
        for value, answer, code in (
            (
                "1",
                "split must be a share of the images from 0, for none, to below 1, not 1.0",
                1,
            ),
            (
                "-0.5",
                "split must be a share of the images from 0, for none, to below 1, not -0.5",
                1,
            ),
            ("nan", "--split: expected a number. Got value: nan (anomalist {} --help)", 2),
        )
    ),
    fit(
        "a split that leaves too few images to calibrate",
        "--split 0.3",
        "Note: fitted to 14 of 20 images, the other 6 calibrate, too few to guarantee a false-alarm"
        " rate of 5%, which takes 19: give 62 images, or --split 0, which calibrates on all that it"
        " is fitted to",
        0,
        lambda here: parts(here, 20, 0),
    ),
    fit(
        "a split of one image",
        "--split 0.3",
        "anomalist: error: holding out a share of 0.3 needs at least 2 good images, one to fit and"
        " one to calibrate, of scenes of their own: there is 1",
        1,
        lambda here: parts(here, 1, 0),
    ),
    Case(
        "a time for fit auto that is none",
        "fit auto --data parts --out new.anomalist --budget soon",
        "anomalist: error: budget must be a time such as 90s, 5min or 1h, not 'soon'",
        1,
        parts,
    ),
    Case(
        "a limit of milliseconds for fit auto that is none",
        "fit auto --data parts --out new.anomalist --most_ms 0",
        "anomalist: error: most_ms must be a number of milliseconds above 0, not 0.0",
        1,
        parts,
    ),
    fit(
        "a time to choose in, where a detector is named",
        "--budget 5min",
        "anomalist: error: --budget is for fit auto, which chooses a detector: patchcore is one",
        1,
    ),
    Case(
        "auto as a part of an ensemble",
        "fit auto+padim --data parts --out new.anomalist",
        "anomalist: error: auto+padim can't join auto, which is what it chooses: name its members",
        1,
        parts,
    ),
    Case(
        "so few images that nothing can be chosen by them",
        "fit auto --data parts --out new.anomalist",
        "anomalist: error: 3 good images are too few to choose a detector by, which takes 4: give"
        " more, or name a detector, such as patchcore",
        1,
        lambda here: parts(here, 3, 0),
    ),
    Case(
        "fit auto shard by shard",
        "fit auto --data parts --out new.anomalist --shards 2",
        "anomalist: error: auto can't choose shard by shard: let it choose by a few hundred of the"
        " images, and fit what it chose to all",
        1,
        parts,
    ),
    fit(
        "a false-alarm rate that far more images would have to calibrate",
        "--alpha 0.000001",
        "threshold ..., the highest score of 2 good images, too few to guarantee a false-alarm rate"
        " of 0.0001%, which takes 999999: so few promise 33.3%, expect 1.3% to 84.2%",
        0,
        lambda here: parts(here, 2, 0),
    ),
    predict(
        "a threshold that is no number",
        "photos --threshold nan",
        "anomalist: error: --threshold: expected a number. Got value: nan"
        " (anomalist predict --help)",
        2,
    ),
    predict(
        "an infinite threshold",
        "photos --threshold inf",
        "anomalist: error: --threshold: expected a number. Got value: inf"
        " (anomalist predict --help)",
        2,
    ),
    Case(
        "results by parts that are to be added to",
        "predict model.anomalist photos --out out --ray local --append",
        "anomalist: error: --append is for a folder of this machine without --ray: the same command"
        " adds what is new",
        1,
    ),
    predict(
        "workers without a cluster",
        "photos --workers 2",
        "anomalist: error: --workers is of workers on a cluster: name one with --ray",
        1,
    ),
    predict(
        "a cluster that isn't there",
        "photos --ray 127.0.0.1:1",
        "anomalist: error: no Ray cluster answers at 127.0.0.1:1: ...",
        1,
    ),
    Case(
        "results at an address with a password in it",
        "predict model.anomalist photos --out s3://me:hidden@bucket/out",
        "anomalist: error: an address must carry no user, password, key or token: ...",
        1,
    ),
    predict(
        "watching every -1 seconds",
        "photos --watch -1",
        "anomalist: error: watch must be a number of seconds above 0, not -1.0",
        1,
    ),
    *(
        fit(what, flags, f"anomalist: error: {answer}", code)
        for what, flags, answer, code in (
            (
                "a negative size",
                "--image_size -5",
                "image_size must be a positive whole number of pixels, not -5",
                1,
            ),
            (
                "an image size of 1",
                "--image_size 1",
                "sigma must not be negative, nor above the image's side, not 4.0",
                1,
            ),
            (
                "an absurd image size",
                "--image_size 100000",
                "image_size 100000 makes more than 100000000 pixels: lower it",
                1,
            ),
            (
                "a crop larger than the image",
                "--crop_size 500",
                "crop_size 500 is larger than image_size 64",
                1,
            ),
            (
                "a size that is no number",
                "--image_size large",
                "argument --image_size: expected a whole number, two, separated by a comma, or"
                " auto. Got value: 'large' (anomalist fit --help)",
                2,
            ),
            (
                "a size that nobody says what for",
                "--image_size auto",
                "image_size auto and smallest_defect, in pixels of the photographs, say together"
                " which size is needed: give both, or neither",
                1,
            ),
            (
                "a smallest defect without auto",
                "--smallest_defect 4",
                "image_size auto and smallest_defect, in pixels of the photographs, say together"
                " which size is needed: give both, or neither",
                1,
            ),
            (
                "a smallest defect of no pixel",
                "--image_size auto --smallest_defect 0",
                "smallest_defect must be at least 1, not 0",
                1,
            ),
            (
                "an overlap of no tiles",
                "--tile_overlap 8",
                "tile_overlap is how far tiles overlap: give tile_size too",
                1,
            ),
            (
                "tiles that overlap wholly",
                "--tile_size 64 --tile_overlap 64",
                "tile_overlap must be 0 or more and less than tile_size (64), not 64",
                1,
            ),
            ("tiles of no size", "--tile_size 0", "tile_size must be at least 1, not 0", 1),
            (
                "tiles that layers can't be put together of",
                "--tile_size 64 --image_size 100",
                "with tile_size, image_size must be a multiple of 32, not 100",
                1,
            ),
            (
                "tiles of two sizes",
                "--tile_size 64 --image_size 64,96",
                "tile_size needs an image_size of one number, the side to which a tile is brought,"
                " and no crop_size",
                1,
            ),
            (
                "tiles that make an absurd input",
                "--tile_size 1 --image_size 256",
                "photographs of 64 x 64 pixels would be brought to 16384 x 16384, more than"
                " 100000000 pixels: raise tile_size, or lower image_size",
                1,
            ),
            ("a batch of no image", "--batch_size 0", "batch_size must be at least 1, not 0", 1),
            ("a negative seed", "--seed -1", "seed must not be negative, not -1", 1),
            (
                "a value out of its range",
                "--patchcore.coreset_ratio 2",
                "coreset_ratio must be above 0 and at most 1, not 2.0",
                1,
            ),
            (
                "a value of another type",
                "--patchcore.coreset_ratio x",
                "--patchcore.coreset_ratio: expected a number. Got value: x (anomalist fit --help)",
                2,
            ),
            (
                "an unknown flag",
                "--patchcore.nothing 1",
                "unrecognized arguments: --patchcore.nothing 1 (anomalist fit --help)",
                2,
            ),
            (
                "a layer that the backbone lacks",
                "--layers layer9",
                "efficientnet_lite0 has no layer 'layer9'; it has stride2, ...",
                1,
            ),
            (
                "an unknown backbone",
                "--backbone resnet19",
                "unknown backbone 'resnet19'; did you mean resnet18, ...?",
                1,
            ),
            (
                "a backbone that isn't installed, without a network",
                "--backbone resnet18",
                "the weights of resnet18 (timm/resnet18.tv_in1k on the Hugging Face hub) are"
                " neither cached nor reachable (...). Three ways out: connect to the network once,"
                " so that they are cached; give a local file with --weights FILE (weights=... in"
                " Python); or take --backbone efficientnet_lite0, whose weights are installed with"
                " anomalist",
                1,
            ),
            (
                "weights that aren't there",
                "--weights gone.pth",
                "no weights file at gone.pth",
                1,
            ),
            (
                "a flag for a detector that isn't fitted",
                "--glass.step 1",
                "--glass.step does nothing here, where glass isn't used: leave it out, or name"
                " glass",
                1,
            ),
            (
                "a flag that is cut short",
                "--batch 4",
                "unrecognized arguments: --batch 4; did you mean --batch_size? (anomalist fit"
                " --help)",
                2,
            ),
            (
                "no layer at all",
                "--layers ,",
                "argument --layers: expected texts, separated by commas. Got value: ',' (anomalist"
                " fit --help)",
                2,
            ),
            ("an unknown preset", "--preset magic", "no preset 'magic' for patchcore; ...", 1),
            (
                "a device that isn't there",
                "--device cuda:99",
                "this machine has no cuda:99 device: choose --device auto or cpu",
                1,
            ),
            (
                "a device of no kind",
                "--device abacus",
                "device must be auto, cpu, cuda or mps, not 'abacus'",
                1,
            ),
            (
                "a category of a folder that has none",
                "--category bottle",
                "parts has no category 'bottle'; it has parts...",
                1,
            ),
        )
    ),
    *(
        fit(what, f"--augment {given}", f"anomalist: error: {answer}", code)
        for what, given, answer, code in (
            (
                "copies that turn by nothing named",
                "360",
                "argument --augment: expected names and values, such as turn=360,flip=true. Got"
                " value: '360' (anomalist fit --help)",
                2,
            ),
            (
                "copies that turn further than round",
                "turn=400",
                "augment: turn must be from 0 to 360 degrees, not 400",
                1,
            ),
            (
                "copies by a word that isn't known",
                "turns=90",
                "augment has turn, flip and copies, but no 'turns'",
                1,
            ),
            (
                "copies that are what is there",
                "turn=0",
                "augment makes nothing new: give it turn, flip, or both",
                1,
            ),
        )
    ),
    fit(
        "a box to ignore of three numbers",
        "--ignore_box 1,2,3",
        "anomalist: error: argument --ignore_box: expected four whole numbers, separated by commas."
        " Got value: '1,2,3' (anomalist fit --help)",
        2,
    ),
    fit(
        "a box to ignore without a width",
        "--ignore_box 1,2,0,3",
        "anomalist: error: ignore_box must be left, top, width and height in pixels, such as"
        " 0,0,200,50, not 1,2,0,3",
        1,
    ),
    fit(
        "a foreground that is asked for by yes",
        "--foreground yes",
        "anomalist: error: --foreground: expected one of 'auto' or none. Got value: yes (anomalist"
        " fit --help)",
        2,
    ),
    fit(
        "weights of members that are a word too many",
        "--ensemble.member_weights sometimes",
        "anomalist: error: argument --ensemble.member_weights: expected numbers, separated by"
        " commas, or auto. Got value: 'sometimes' (anomalist fit --help)",
        2,
    ),
    fit(
        "a foreground that is a word too many",
        "--foreground part",
        "anomalist: error: --foreground: expected one of 'auto' or none. Got value: part (anomalist"
        " fit --help)",
        2,
    ),
    fit(
        "one photograph to align",
        "--align true",
        "anomalist: error: align needs two good photographs at least, to see how they lie",
        1,
        lambda here: parts(here, 1, 0),
    ),
    fit(
        "photographs to align and to crop",
        "--align true --crop_size 32",
        "anomalist: error: align chooses what is looked at: leave crop_size out",
        1,
    ),
    fit(
        "photographs to align and to cut into tiles",
        "--align true --tile_size 32",
        "anomalist: error: align shows the part alone, and cuts no tiles: leave tile_size out",
        1,
    ),
    fit(
        "weights of another network",
        "--weights other.safetensors",
        "anomalist: error: other.safetensors doesn't fit the backbone: ...",
        1,
        both(parts, weights),
    ),
    fit(
        "a picture in place of weights",
        "--weights photos/good.png",
        "anomalist: error: photos/good.png isn't a PyTorch file of tensors alone (files that would"
        " run code are refused)",
        1,
    ),
    predict(
        "a device that isn't there",
        "photos --device cuda:99",
        "anomalist: error: this machine has no cuda:99 device: choose --device auto or cpu",
        1,
    ),
    Case(
        "an unknown command",
        "predcit model.anomalist",
        "anomalist: error: no command 'predcit'; did you mean predict? (anomalist --help)",
        2,
    ),
    Case(
        "an unknown detector",
        "fit patchcoer --data parts --out new.anomalist",
        "anomalist: error: no detector 'patchcoer'; did you mean patchcore? there are ...",
        1,
        parts,
    ),
    benchmark(
        "an unknown detector",
        "--detectors oracle",
        "anomalist: error: no detector 'oracle'; there are ...",
        1,
    ),
    benchmark(
        "an unknown category",
        "--categories part",
        "anomalist: error: parts has no category 'part'; did you mean parts?",
        1,
    ),
    benchmark(
        "a metric that isn't there",
        "--metric no_such_module:missed",
        "anomalist: error: there is no module no_such_module for the metric"
        " no_such_module:missed: run the command where no_such_module.py is, or set PYTHONPATH to"
        " its folder",
        1,
    ),
    benchmark(
        "a metric that is no function",
        "--metric math:pi",
        "anomalist: error: the metric math:pi is no function but float",
        1,
    ),
    Case(
        "a data folder that is given twice",
        "benchmark parts parts --out results",
        "anomalist: error: parts is given twice",
        1,
        parts,
    ),
    benchmark(
        "a detector that is named twice",
        "--detectors patchcore,patchcore",
        "anomalist: error: detector patchcore is named twice: give one of them a name of its own,"
        " as in small=patchcore",
        1,
    ),
    benchmark(
        "seeds that are no numbers",
        "--seeds a",
        "anomalist: error: argument --seeds: expected whole numbers, separated by commas. Got"
        " value: 'a' (anomalist benchmark --help)",
        2,
    ),
    *(
        benchmark(
            what,
            "--config c.yaml",
            f"anomalist: error: {answer}",
            code,
            both(parts, content("c.yaml", text)),
        )
        for what, text, answer, code in (
            (
                "broken YAML",
                "a: [1",
                "c.yaml: it is no YAML: ... in line ..., column ... (anomalist benchmark --help)",
                2,
            ),
            (
                "YAML with an unknown key",
                "patchcore:\n  nothing: 1\n",
                "c.yaml: Option 'patchcore.nothing' is not accepted (anomalist benchmark --help)",
                2,
            ),
            (
                "YAML with a value of another type",
                "image_size: abc\n",
                "--image_size: invalid literal for int() with base 10: 'abc' (anomalist benchmark"
                " --help)",
                2,
            ),
            (
                "YAML with a number in place of hyperparameters",
                "patchcore: 5\n",
                "patchcore must hold hyperparameters by name, not 5",
                1,
            ),
            (
                "YAML that would run code",
                "!!python/object/apply:os.system ['echo hi']\n",
                "c.yaml: it must hold settings by name, as in seed: 3, and holds something else"
                " (anomalist benchmark --help)",
                2,
            ),
            (
                "settings that aren't text",
                b"\xff\xfe",
                "c.yaml: it isn't text in UTF-8, from byte 0 on (anomalist benchmark --help)",
                2,
            ),
            (
                "an empty file of settings",
                "",
                "c.yaml: it must hold settings by name, as in seed: 3, and is empty (anomalist"
                " benchmark --help)",
                2,
            ),
            (
                "a setting that is there twice",
                "seeds: 1\nseeds: 2\n",
                "c.yaml: seeds is there twice, in lines 1 and 2 (anomalist benchmark --help)",
                2,
            ),
            (
                "YAML that holds itself",
                "patchcore: &a\n  sigma: *a\n",
                "c.yaml: what begins in line ... holds itself (anomalist benchmark --help)",
                2,
            ),
            (
                "settings nested a thousand deep",
                "[" * 1000,
                "c.yaml: ... (anomalist benchmark --help)",
                2,
            ),
        )
    ),
    benchmark(
        "a flag for a detector that isn't run",
        "--glass.step 1",
        "--glass.step does nothing here: glass isn't among the detectors",
        0,
        parts,
    ),
    benchmark(
        "settings that aren't there",
        "--config gone.yaml",
        "anomalist: error: --config: ... (anomalist benchmark --help)",
        2,
    ),
    *(
        Case(
            what,
            f"serve model.anomalist --port 0 --state out {flags}",
            f"anomalist: error: {told}",
            1,
        )
        for what, flags, told in (
            (
                "a watched folder without a camera's name",
                "--watch photos",
                "--watch takes CAMERA=ADDRESS or CAMERA@MODEL=ADDRESS, not 'photos'",
            ),
            (
                "a broker that is none",
                "--mqtt tcp://broker",
                "--mqtt takes mqtt://USER@HOST:PORT/PREFIX, or mqtts:// for TLS",
            ),
            (
                "a webhook that is no address",
                "--webhook mes.local",
                "--webhook takes http:// or https://, not 'mes.local'",
            ),
        )
    ),
    *(
        Case(
            what,
            f"fit {flags} --data parts --out new.anomalist",
            f"anomalist: error: {told}",
            1,
            parts,
        )
        for what, flags, told in (
            (
                "shards of a detector whose fits don't add up",
                "cfa --shards 2",
                "cfa can't be fitted shard by shard: what it learns of some images doesn't add up"
                " with what it learns of others; patchcore, padim and dfm can",
            ),
            (
                "no shards",
                "padim --shards 0",
                "... images can't be dealt into 0 shards: choose from 1 to ...",
            ),
            (
                "all images to calibrate shards",
                "padim --shards 2 --calibrate_images 999",
                "calibrate_images=999 leaves none of ... images to learn from: draw fewer",
            ),
            (
                "a share held out of shards",
                "padim --shards 2 --split 0.3",
                "--split doesn't go with --shards or --ray: --calibrate_images says how many are"
                " held out",
            ),
            (
                "a number of images that calibrate without shards",
                "padim --calibrate_images 5",
                "--calibrate_images is for --shards and --ray; else --split holds a share out",
            ),
            (
                "processors of workers without a cluster",
                "padim --worker_cpus 2",
                "--worker_cpus is of workers on a cluster: name one with --ray",
            ),
            (
                "too little memory for shards",
                "patchcore --shards 2 --image_size 512 --memory_limit_mb 1",
                "a coreset of ... can't be picked within 1 MB: allow memory_limit_mb=..., or lower"
                " coreset_ratio",
            ),
            (
                "a ceiling of memory of a detector that has none",
                "padim --memory_limit_mb 100",
                "padim has no memory_limit_mb: what it holds doesn't hang on a ceiling",
            ),
        )
    ),
]
