"""Hints: mistyped words get the right one, words of other frameworks never a wrong one."""

import difflib
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnsim.errors import did_you_mean
from mnsim.hints import fold, near_words, slips_between
from mnsim.spec.foreign import foreign_words, key_instead, operator_instead
from mnsim.spec.hardware import HardwareSpec
from mnsim.spec.network import GROUP, OPERATORS, ConvSpec, NetworkSpec
from tests.helpers import run

KNOWN = (*OPERATORS, GROUP)
KEYS = {
    "network": list(NetworkSpec.model_fields),
    "conv": [field.alias or name for name, field in ConvSpec.model_fields.items()],
    "hardware": list(HardwareSpec.model_fields),
    "commands": ["analyze", "simulate", "verify", "program", "sweep", "why", "infer", "weights", "check", "list", "schema", "explain"],
    "options": ["--alpha", "--rho", "--dtype", "--policy", "--hw", "--sram", "--set", "--format", "--output", "--layer", "--verbose"],
}
TYPED = {  # by people: the word, and what was meant
    "cnv": "conv", "covn": "conv", "conv_": "conv", "Conv": "conv", "depthwize": "depthwise", "dephtwise": "depthwise",
    "deptwise": "depthwise",
    "seperable": "separable", "sepparable": "separable", "dens": "dense", "desne": "dense", "maxpool": "max_pool", "max-pool": "max_pool",
    "MaxPool": "max_pool", "max_pol": "max_pool", "avgpool": "avg_pool", "avg_pol": "avg_pool", "global_avgpool": "global_avg_pool",
    "GlobalAvgPool": "global_avg_pool", "gloabl_avg_pool": "global_avg_pool", "batchnorm": "batch_norm", "BatchNorm": "batch_norm",
    "bacth_norm": "batch_norm", "batch_nrom": "batch_norm", "rleu": "relu", "relu_6": "relu6", "ReLU6": "relu6", "flaten": "flatten",
    "falttten": "flatten", "sofmax": "softmax", "soft_max": "softmax", "softmx": "softmax", "ad": "add", "concatt": "concat",
    "cocnat": "concat", "droput": "dropout", "drop_out": "dropout", "identiy": "identity", "layer": "layers", "depth": "depthwise",
}  # fmt: skip
FOREIGN = (
    "upsample", "dropout2d", "BatchNorm2d", "Conv2d", "lstm", "swish", "transpose", "gelu", "layer_norm", "constant",
    "depth_to_space", "pad", "mul", "sub", "max", "clip", "elu", "selu", "leaky_relu", "hard_swish", "sigmoid", "tanh",
    "prelu", "conv_transpose", "ConvTranspose2d", "Conv3d", "unflatten", "softmin", "log_softmax", "min_pool", "lp_pool",
    "group_norm", "InstanceNorm2d", "resize", "reshape", "squeeze", "slice", "split", "gather", "cast", "Gemm", "MatMul",
    "Linear", "fc", "AveragePool", "GlobalAveragePool", "cat", "sum", "attention", "channel_shuffle", "ArgMax", "quantize",
    "Upsampling2D", "ZeroPadding2D", "SpatialDropout2D", "embedding", "mish", "activation", "bottleneck", "SEBlock", "lrn",
    "RoiAlign", "LocalResponseNorm", "ReflectionPad2d", "PixelShuffle", "Einsum", "Erf", "ScatterND", "Loop", "If", "Where",
    "TopK", "NonMaxSuppression", "DepthwiseConv2D", "fourier", "wavelet", "capsule", "spline", "sinkhorn", "hopfield",
    "mamba", "retention", "router", "moe", "kan", "unknown_thing",
)  # fmt: skip


def remedy_of(word: str) -> str:
    return operator_instead(word) or did_you_mean(word, KNOWN)


@pytest.mark.parametrize("word", TYPED)
def test_operators_that_people_mistype(word: str) -> None:
    assert remedy_of(word) == f"did you mean '{TYPED[word]}'?"


@pytest.mark.parametrize("word", FOREIGN)
def test_words_of_others_get_no_wrong_hint(word: str) -> None:
    assert operator_instead(word) or "did you mean" not in did_you_mean(word, KNOWN)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("Conv2d", "conv"), ("BatchNorm2d", "batch_norm"), ("Gemm", "dense"), ("AveragePool", "avg_pool"), ("cat", "concat"), ("fc", "dense")],
)
def test_words_of_others_for_the_same(word: str, ours: str) -> None:
    assert remedy_of(word) == f"did you mean '{ours}'?"


def test_every_foreign_word_is_told_what_to_write() -> None:
    operators, keys = foreign_words()
    assert len(operators) > 250
    for word in operators:
        assert fold(word) not in map(fold, OPERATORS), "it is an operator"
        assert operator_instead(word), word
        assert operator_instead(word.upper()), word
        assert len(operator_instead(word)) < 150
        meant = re.match("did you mean '(.*)'", operator_instead(word))
        assert meant is None or meant[1] in OPERATORS
    for table in (operators, keys):
        assert sorted({fold(word) for word in table}) == sorted(map(fold, table)), "a word stands twice"
    for word in keys:
        found = key_instead(word, [*KEYS["conv"], *KEYS["network"], *KEYS["hardware"], "bandwidth", "capacity", "throughput"])
        assert found or key_instead(word, ["multiplier", "launch_overhead"]), word


def one_slip(word: str, random: Random) -> str:
    place, letter = random.randrange(len(word)), random.choice("abcdefghijklmnopqrstuvwxyz")
    swapped = word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]
    return random.choice(
        [word[:place] + word[place + 1 :], word[:place] + letter + word[place:], word[:place] + letter + word[place + 1 :], swapped]
    )


@pytest.mark.parametrize("table", ["operators", *KEYS])
def test_one_slip_finds_the_word_again(table: str) -> None:
    """Nearly always in words of five letters and more, as often as by difflib, which found a word for most others, too."""
    known, random = list(KNOWN) if table == "operators" else KEYS[table], Random(7)
    right = before = total = 0
    for word in known:
        for _ in range(40 if len(word) >= 5 else 0):
            typed = one_slip(word, random)
            total += 1
            right += word in near_words(typed, known)
            before += difflib.get_close_matches(typed, known, n=1, cutoff=0.6) == [word]
    assert right >= 0.97 * total
    assert right >= 0.98 * before


@settings(deadline=None)
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_slips_are_counted_as_by_the_definition(one: str, other: str) -> None:
    def plain(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        found = min(plain(a[:-1], b) + 1, plain(a, b[:-1]) + 1, plain(a[:-1], b[:-1]) + (a[-1] != b[-1]))
        return min(found, plain(a[:-2], b[:-2]) + 1) if len(a) > 1 and len(b) > 1 and a[-2:] == b[-1] + b[-2] else found

    for most in range(4):
        assert slips_between(one, other, most) == min(plain(one, other), most + 1)


@given(st.text(max_size=300))
def test_any_word_has_some_remedy(word: str) -> None:
    assert did_you_mean(word, KNOWN)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{conv: 8, kernel_size: 3, kernel: 3}", "did you mean 'kernel'?"),
        ("{conv: 8, kernel: 3, use_bias: true}", "did you mean 'bias'?"),
        ("{conv: 8, kernel: 3, dilation: 2}", "mnsim has no dilation"),
        ("{conv: 8, kernel: 3, batch_size: 4}", "one image at a time"),
        ("{conv: 8, kernel: 3, in_channels: 4}", "leave it out"),
        ("{max_pool: 2, ceil_mode: true}", "rounded down"),
        ("{conv: 8, kernel: 3, paddding: 1}", "did you mean 'padding'?"),
        ("{Conv2d: 8, kernel: 3}", "did you mean 'conv'?"),
        ("Dropout2d", "did you mean 'dropout'? It is taken out"),
        ("{upsample: 2}", "mnsim has no operator that makes a map larger"),
        ("{lstm: 8}", "no recurrent layers"),
    ],
)
def test_layers(layer: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(f"name: t\ninput: [8, 8, 4]\nlayers:\n  - {layer}\n")
    printed = run("check", str(tmp_path / "n.yaml")).out
    assert message in printed
    assert printed.count("help:") == printed.count("error[") == 1


def test_hardware_keys(tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text("name: h\nbus: {bw: 1 GB/s, clock: 2}\nsram: {size: 1 MiB}\nmatrix_unit: {tops: 1}\nvektor_unit: {}\n")
    printed = run("check", str(tmp_path / "h.yaml")).out
    for message in ("'bandwidth'?", "counts no cycles", "'internal_memory'?", "'throughput'?", "'vector_unit'?"):
        assert message in printed


def test_the_table_is_not_read_before_an_error() -> None:
    modules = {"mnsim.hints", "mnsim.spec.foreign", "mnsim.spec.misread", "mnsim.plan.advice"}
    code = f"import sys, mnsim; mnsim.analyze('mobilenet_cifar'); print({modules} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
