"""Every problem's name, size and source, in the order in which tables show them."""

from __future__ import annotations

from jacbench.problems.entry import Entry

_AUTOGRAD_TUTORIAL = (
    "PyTorch tutorials, 'Automatic Differentiation with torch.autograd', "
    "https://docs.pytorch.org/tutorials/beginner/basics/autogradqs_tutorial.html"
)
_SHAPES = "made for jacbench: one network whose m and n alone vary"


def _hidden_layer(name: str, m: int, n: int, summary: str) -> Entry:
    return Entry(
        name=f"shape/{name}",
        m=m,
        n=n,
        summary=summary,
        source=_SHAPES,
        build="jacbench.problems.shape:hidden_layer",
        parameters={"m": m, "n": n, "width": 256},
    )


def _awkward(
    name: str, m: int, n: int, summary: str, build: str, source: str = "", *, batch: bool = False
) -> Entry:
    return Entry(
        name=f"awkward/{name}",
        m=m,
        n=n,
        summary=summary,
        source=source or _STUMBLES,
        build=f"jacbench.problems.awkward:{build}",
        batch=batch,
    )


_STUMBLES = "made for jacbench: what users meet when they differentiate ordinary code"
_CUSTOM = "made for jacbench: log(1 + exp(x)), the example of the libraries' pages on custom rules"


def _wrt(name: str, m: int, n: int, summary: str, build: str, *, batch: int = 0) -> Entry:
    return Entry(
        name=f"wrt/{name}",
        m=m,
        n=n,
        summary=summary,
        source="made for jacbench: one function for each way of choosing what x is",
        build=f"jacbench.problems.wrt:{build}",
        parameters={"batch": batch} if batch else {},
        batch=batch > 0,
    )


_NETWORK = "weights made for jacbench"

CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="basics/mlp-weights",
        m=20,
        n=47,
        summary="tanh network 6-4-3-1 on a batch of 20, by its weights and biases (a tree)",
        source="made for jacbench: a network of the size used in tutorial questions about the "
        "Jacobian by the weights",
        build="jacbench.problems.basics:mlp_weights",
        parameters={"batch": 20},
        batch=True,
    ),
    Entry(
        name="basics/linear-sum",
        m=1,
        n=6,
        summary="sum of XW + B by X; the Jacobian is -0.9, 1.3 and 3.6, to be checked by hand",
        source="made for jacbench: short decimals, in the manner of a tutorial's first example",
        build="jacbench.problems.basics:linear_sum",
    ),
    Entry(
        name="basics/linear-sum-by-z",
        m=1,
        n=4,
        summary="the same sum by the intermediate value Z = XW + B: ones",
        source="the question why Z.grad is None, asked of basics/linear-sum",
        build="jacbench.problems.basics:linear_sum_by_z",
        intermediate=True,
    ),
    Entry(
        name="basics/shifted-square",
        m=25,
        n=25,
        summary="(x + 1)^2 entry by entry at the 5 x 5 identity; the Jacobian is diagonal",
        source=f"after 'Tensor Gradients and Jacobian Products' in {_AUTOGRAD_TUTORIAL}",
        build="jacbench.problems.basics:shifted_square",
        parameters={"size": 5},
    ),
    Entry(
        name="basics/logistic-loss",
        m=1,
        n=18,
        summary="mean binary cross-entropy of one logistic layer 5-3, by its weights and biases",
        source=f"the one-layer network of {_AUTOGRAD_TUTORIAL}, with weights of our own",
        build="jacbench.problems.basics:logistic_loss",
    ),
    Entry(
        name="basics/generator",
        m=200,
        n=200,
        summary="leaky ReLU network 2-100-100-100-2 on a batch of 100, by the batch; "
        "block-diagonal",
        source="made for jacbench: a network of the size used to generate points of the plane",
        build="jacbench.problems.basics:generator",
        parameters={"batch": 100},
        batch=True,
    ),
    _hidden_layer("small", 3, 6, "tanh layer of 256, 6 inputs, 3 outputs"),
    _hidden_layer("tall", 2048, 32, "tanh layer of 256, few inputs, many outputs"),
    _hidden_layer("wide", 32, 2048, "tanh layer of 256, many inputs, few outputs"),
    _hidden_layer("square", 256, 256, "tanh layer of 256, as many inputs as outputs"),
    _hidden_layer("scalar", 1, 1024, "tanh layer of 256, one output: the Jacobian is a gradient"),
    _awkward("while-loop", 3, 3, "a loop whose length depends on x", "while_loop"),
    _awkward("in-place", 4, 4, "entries and slices written in place into a copy of x", "in_place"),
    _awkward("cond", 3, 3, "one of two branches, by the sign of the sum of x", "cond"),
    _awkward("where", 4, 4, "x log(x) where x > 0 and x elsewhere, the log guarded", "where"),
    _awkward(
        "custom-vjp",
        3,
        4,
        "log(1 + exp(x)) with a reverse rule by hand and no forward one",
        "custom_vjp",
        _CUSTOM,
    ),
    _awkward(
        "custom-vjp-setup-context",
        3,
        4,
        "the same, as a torch Function with setup_context",
        "custom_vjp_setup_context",
        _CUSTOM,
    ),
    _awkward(
        "custom-jvp",
        3,
        4,
        "the same with a forward rule by hand too",
        "custom_jvp",
        _CUSTOM,
    ),
    _awkward("dropout", 3, 6, "dropout with a fixed seed; each library has its mask", "dropout"),
    _awkward("item-branch", 3, 3, "a branch on a Python number out of .item()", "item_branch"),
    _awkward(
        "no-grad",
        2,
        2,
        "x times a copy of x under no_grad: diag(x), not diag(2 x)",
        "no_grad",
        "after https://github.com/pytorch/pytorch/issues/128600",
        batch=True,
    ),
    _awkward("detach", 2, 2, "x times x cut from differentiation: diag(x)", "detach", batch=True),
    _awkward("complex-input", 2, 2, "|x|^2 of a complex x: refused", "complex_input"),
    _awkward("integer-input", 3, 3, "x / 2 of an integer x: refused", "integer_input"),
    _awkward("constant-output", 3, 4, "a value that x does not enter: zeros", "constant_output"),
    _awkward("linalg", 5, 9, "solution, det and log |det| by the matrix", "linalg"),
    _awkward(
        "trace",
        4,
        9,
        "the trace of X X beside other outputs",
        "trace",
        "after https://github.com/pytorch/pytorch/issues/190855",
    ),
    _wrt(
        "dict-of-parameters",
        4,
        21,
        "a nested dict of lists and tuples, its keys not in order",
        "dict_of_parameters",
    ),
    _wrt(
        "several-inputs", 3, 8, "three inputs, one used twice and one not at all", "several_inputs"
    ),
    _wrt("detached-input", 3, 6, "two inputs, one cut from differentiation", "detached_input"),
    _wrt("auxiliary", 1, 4, "a loss that returns logits and a count beside it", "auxiliary"),
    _wrt(
        "per-sample",
        8,
        12,
        "a tanh network 3-2-2 by its batch of inputs; block-diagonal",
        "per_sample",
        batch=4,
    ),
    _wrt(
        "per-sample-parameters",
        8,
        14,
        "the same network by its parameters, sample by sample",
        "per_sample_parameters",
        batch=4,
    ),
    _wrt("scalar-input", 3, 1, "a curve by a single number, an array without axes", "scalar_input"),
    Entry(
        name="nn/digits-cnn",
        m=320,
        n=666,
        summary="convolutional network on 32 handwritten digits, by its parameters (a dict)",
        source="images: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits "
        "(1998), https://doi.org/10.24432/C50P49, from scikit-learn; per sample the factor of the "
        "neural tangent kernel, A. Jacot, F. Gabriel, C. Hongler, arXiv:1806.07572; " + _NETWORK,
        build="jacbench.problems.nn:digits_cnn",
        parameters={"batch": 32, "channels": 4},
        batch=True,
    ),
    Entry(
        name="nn/attention",
        m=144,
        n=144,
        summary="self-attention of 2 heads with a residual, by its input; nn.MultiheadAttention",
        source="A. Vaswani and others, 'Attention is all you need', arXiv:1706.03762, section 3.2; "
        + _NETWORK,
        build="jacbench.problems.nn:attention",
        parameters={"batch": 3, "seq": 6, "width": 8},
        batch=True,
    ),
    Entry(
        name="nn/attention-fused",
        m=144,
        n=144,
        summary="the same, in torch by its fused kernel scaled_dot_product_attention",
        source="A. Vaswani and others, 'Attention is all you need', arXiv:1706.03762, section 3.2; "
        + _NETWORK,
        build="jacbench.problems.nn:attention_fused",
        parameters={"batch": 3, "seq": 6, "width": 8},
        batch=True,
    ),
    Entry(
        name="nn/layernorm",
        m=128,
        n=296,
        summary="layer norm, dense, gelu, dense with a residual, by its parameters (a dict)",
        source="J. Ba, J. Kiros, G. Hinton, 'Layer Normalization', arXiv:1607.06450; " + _NETWORK,
        build="jacbench.problems.nn:layernorm",
        parameters={"batch": 16, "width": 8, "hidden": 16},
        batch=True,
    ),
    Entry(
        name="nn/batch-norm",
        m=36,
        n=60,
        summary="dense, batch norm in train mode, tanh, dense, by its inputs: samples interact",
        source="S. Ioffe and C. Szegedy, 'Batch Normalization', arXiv:1502.03167; " + _NETWORK,
        build="jacbench.problems.nn:batch_norm",
        parameters={"batch": 12, "features": 5, "hidden": 8, "out": 3},
        batch=True,
    ),
    Entry(
        name="nn/batch-norm-eval",
        m=36,
        n=60,
        summary="the same in eval mode, with running statistics: samples do not interact",
        source="S. Ioffe and C. Szegedy, 'Batch Normalization', arXiv:1502.03167; " + _NETWORK,
        build="jacbench.problems.nn:batch_norm_eval",
        parameters={"batch": 12, "features": 5, "hidden": 8, "out": 3},
        batch=True,
    ),
    Entry(
        name="nn/softmax-over-batch",
        m=60,
        n=72,
        summary="each sample's share in each key, softmax over the batch: samples interact",
        source="the scores of A. van den Oord, Y. Li, O. Vinyals, arXiv:1807.03748 (InfoNCE), "
        "normalised over the batch as in A. Radford and others, arXiv:2103.00020 (CLIP); "
        "numbers made for jacbench",
        build="jacbench.problems.nn:softmax_over_batch",
        parameters={"batch": 12, "width": 6, "keys": 5},
        batch=True,
    ),
)
"""Every problem, in the order in which tables show them."""
