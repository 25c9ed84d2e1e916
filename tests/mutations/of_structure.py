"""Structure, and the methods and native functions that use it."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

STRUCTURE = Mutations()

fastest = STRUCTURE.of("jacbench/structure/fastest.py", "tests/structure/test_fastest.py")
fastest(
    "a way with another result may be the fastest",
    "elif same is not None and not same(first, result):",
    "elif False:",
)
fastest(
    "the fastest is who had the worst moment",
    "best[name] = min(best[name], time.perf_counter() - start)",
    "best[name] = time.perf_counter() - start",
)

samples = STRUCTURE.of("jacbench/structure/samples.py", "tests/structure/test_samples.py")
samples(
    "samples are moved at the first point alone",
    "    for point in points:\n",
    "    for point in points[:1]:\n",
)
samples(
    "samples of a problem are looked for at x alone",
    "[problem.x, problem.elsewhere],",
    "[problem.x],",
)

verification = STRUCTURE.of(
    "jacbench/structure/verification.py", "tests/structure/test_verification.py"
)
verification(
    "a pattern is held against none of its products",
    "return int(worst[0]) if worst.size else None",
    "return None",
)
verification(
    "a pattern misses what is a tenth of its row",
    "limit = np.sqrt(np.finfo(dtype).eps) * size + rounding",
    "limit = 0.1 * size + rounding",
)

sparsity = STRUCTURE.of("jacbench/structure/sparsity.py", "tests/structure/test_sparsity.py")
sparsity(
    "a pattern is made sure of at the first point alone",
    "return all(missed(made.best, at, dtype) is None for at in points)",
    "return all(missed(made.best, at, dtype) is None for at in points[:1])",
)
sparsity(
    "a given pattern is held against the first point alone",
    "    for at in points:\n        wrong = missed(",
    "    for at in points[:1]:\n        wrong = missed(",
)
sparsity(
    "what detects is believed",
    "if _holds(made, points, target.dtype):",
    "if True:",
)

probing = STRUCTURE.of("jacbench/structure/probing.py", "tests/structure/test_probing.py")

compression = STRUCTURE.of(
    "jacbench/structure/compression.py", "tests/structure/test_compression.py"
)
compression(
    "entries by rows are looked up as if by columns",
    "return np.asarray(self.colours[rows] * n + columns)",
    "return np.asarray(self.colours[rows] * m + columns)",
)
colouring = STRUCTURE.of("jacbench/structure/colouring.py", "tests/structure/test_colouring.py")
colouring(
    "columns that share a row share a colour",
    "            taken |= seen[row]\n",
    "            taken = seen[row]\n",
)
colouring(
    "the first colouring is the best",
    "if best is None or found.count < best.count:",
    "if best is None:",
)
halves = STRUCTURE.of("jacbench/structure/halves.py", "tests/structure/test_cut.py")

loops = STRUCTURE.of(
    "backends/jacbench_torch/loops.py",
    "tests/backends/test_torch_operators.py::test_a_chunk_bounds_what_is_computed_at_a_time",
)
loops(
    "torch's batched gradients ignore the chunk size",
    "return whole.split(target.chunk_size or len(whole))",
    "return whole.split(len(whole))",
)
func = STRUCTURE.of(
    "backends/jacbench_torch/func.py",
    "tests/backends/test_torch_operators.py::test_a_chunk_bounds_what_is_computed_at_a_time",
)
func(
    "torch's mapped vjp ignores the chunk size",
    "(rows,) = vmap(pull, chunk_size=chunk)(basis)",
    "(rows,) = vmap(pull)(basis)",
)
func(
    "torch's mapped jvp ignores the chunk size",
    "(tangent,))[1]\n\n            return vmap(push, chunk_size=chunk)(basis)",
    "(tangent,))[1]\n\n            return vmap(push)(basis)",
)
func(
    "torch's jacrev ignores the chunk size",
    "jacrev(target.function, chunk_size=target.chunk_size)",
    "jacrev(target.function)",
)
func(
    "torch's linearize ignores the chunk size",
    "_, push = linearize(of_x, x)\n            return vmap(push, chunk_size=chunk)(basis)",
    "_, push = linearize(of_x, x)\n            return vmap(push)(basis)",
    "tests/backends/test_torch_operators.py::test_a_chunk_bounds_what_linearize_pushes_at_a_time",
)
mapped = STRUCTURE.of(
    "backends/jacbench_torch/batch.py",
    "tests/backends/test_torch_operators.py::test_batches_go_in_chunks_of_samples",
)
mapped(
    "torch's mapped samples ignore the chunk size",
    "in_dims=target.in_axes, chunk_size=target.chunk_size)",
    "in_dims=target.in_axes)",
)
in_torch = STRUCTURE.of(
    "backends/jacbench_torch/coloured.py",
    "tests/backends/test_coloured.py::test_a_chunk_bounds_what_torch_computes_at_a_time",
)
in_torch(
    "torch's coloured tangents ignore the chunk size",
    "pushed: torch.Tensor = vmap(push, chunk_size=chunk)(given)",
    "pushed: torch.Tensor = vmap(push)(given)",
)
in_torch(
    "torch's coloured cotangents ignore the chunk size",
    "chunks = given.split(target.chunk_size or len(given))",
    "chunks = given.split(len(given))",
)
per_sample = STRUCTURE.of(
    "backends/jacbench_torch/per_sample.py",
    "tests/backends/test_torch_per_sample.py::test_a_chunk_bounds_what_is_computed_at_a_time",
)
per_sample(
    "torch's batched gradients of samples ignore the chunk size",
    "given.split(target.chunk_size or len(given))",
    "given.split(len(given))",
)
per_sample(
    "torch's tangents of samples ignore the chunk size",
    "return [vmap(push, chunk_size=chunk)(given)]",
    "return [vmap(push)(given)]",
)
in_jax = STRUCTURE.of(
    "backends/jacbench_jax/coloured.py",
    "tests/backends/test_coloured.py::test_a_chunk_bounds_what_jax_computes_at_a_time",
)
in_jax(
    "jax's coloured method ignores the chunk size",
    "stacked_at = stacked(target, best.by, target.chunk_size)",
    "stacked_at = stacked(target, best.by, None)",
)
for backend in ("torch", "autograd"):
    coloured = STRUCTURE.of(
        f"backends/jacbench_{backend}/coloured.py",
        "tests/backends/test_coloured.py::test_of_two_ways_that_differ_the_first_is_taken",
    )
    coloured(
        f"{backend}'s coloured ways are not compared",
        "for name, way in ways.items()}, same)",
        "for name, way in ways.items()})",
    )

native = STRUCTURE.of("jacbench/native_call.py", "tests/test_native.py", "tests/test_prepare.py")
native(
    "a structure is seen at x alone",
    "elsewhere=self._elsewhere() if self.method.info.structure else None",
    "elsewhere=None",
    "tests/test_prepare.py",
)
native(
    "an x of another shape is taken",
    "if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:",
    "if leaf.dtype != known.dtype:",
)
native(
    "an x of another dtype is taken",
    "if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:",
    "if tuple(leaf.shape) != tuple(known.shape):",
)
native(
    "columns are taken for rows",
    "parts = [parts[0].reshape(sum(sizes), m).T]",
    "parts = [parts[0].reshape(m, sum(sizes))]",
    "tests/test_native.py",
    "tests/test_native_operators.py",
)
native(
    "samples that interact are not refused",
    '        if pair is not None:\n            raise JacbenchError(f"{self.who}: {interaction',
    '        if False:\n            raise JacbenchError(f"{self.who}: {interaction',
    "tests/test_interaction.py",
)

point = STRUCTURE.of("jacbench/point.py", "tests/test_point.py", "tests/test_native.py")
point("an x that is not finite is taken", "if not np.isfinite(value).all():", "if False:")
point("a float64 x may become float32", "    if made != dtype:\n", "    if False:\n")
