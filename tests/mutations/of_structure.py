"""Structure, and the methods and native functions that use it."""

from __future__ import annotations

from tests.mutations.mutation import Mutations

STRUCTURE = Mutations()

fastest = STRUCTURE.of("jacbench/structure/autotune.py", "tests/structure/test_autotune.py")
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

verification = STRUCTURE.of(
    "jacbench/structure/pattern_check.py", "tests/structure/test_pattern_check.py"
)
verification(
    "a pattern is held against none of its products",
    "return int(worst[0]) if worst.size else None",
    "return None",
)
verification(
    "a pattern misses what is a tenth of its row",
    "limit = np.sqrt(info.eps) * size + NOISY",
    "limit = 0.5 * size + NOISY",
)
verification(
    "a small row is held against the largest",
    "limit = np.sqrt(info.eps) * size + NOISY * lost",
    "limit = np.sqrt(info.eps) * size + NOISY * info.eps * size.max()",
)
verification(
    "what is drawn at random is rounding",
    "np.minimum(NOISY * noise, most)",
    "NOISY * noise",
)

sparsity = STRUCTURE.of(
    "jacbench/structure/compression_plan.py", "tests/structure/test_compression_plan.py"
)
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
probing(
    "a place at the first point alone is one",
    "for product in self.products:",
    "for product in self.products[:1]:",
)

points = STRUCTURE.of("jacbench/structure/points.py", "tests/structure/test_points.py")
points("a structure is looked at with the signs of x alone", "lambda a: -a,", "lambda a: a,")
points(
    "a structure is looked at out of the domain",
    "usable = bool(np.isfinite(np.asarray(found)).all())",
    "usable = True",
)

guard = STRUCTURE.of("jacbench/structure/guard.py", "tests/structure/test_guard.py")
guard(
    "what a guard sees passes",
    "return self._doubted(",
    "return (result, made.layout) or self._doubted(",
)
guard(
    "a guard that is to raise repairs",
    'if self._target.guard.mode == "raise":',
    "if False:",
)
guard(
    "what was found anew is not kept",
    "if made is not known:",
    "if False:",
)
guard(
    "places of before are forgotten when others are found",
    "made = self._method.structured(target, before)",
    "made = self._method.structured(target)",
)

guard(
    "a small row is lost beside a large one",
    "return np.asarray(drawn, dtype=dtype)",
    "return np.asarray(np.sign(drawn), dtype=dtype)",
)
guard(
    "a line is held against the largest",
    "float((apart / (scale + tiny)).max()), whole",
    "whole(), whole",
)

sample_guard = STRUCTURE.of(
    "jacbench/structure/sample_guard.py", "tests/structure/test_sample_guard.py"
)
sample_guard(
    "samples may begin to see each other",
    "if next(self._calls) % self.every:",
    "if True:",
)

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
halves = STRUCTURE.of("jacbench/structure/bottleneck.py", "tests/structure/test_minimum_cut.py")
halves("a middle of half the width is narrow", "NARROW = 4\n", "NARROW = 2\n")
halves(
    "what depends on x is a constant factor",
    "return not factors and step.linear(moving)",
    "return step.linear(moving)",
)

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

native = STRUCTURE.of(
    "jacbench/derivatives/call.py",
    "tests/derivatives/test_functions.py",
    "tests/derivatives/test_prepare.py",
)
native(
    "a structure is seen at x alone",
    "elsewhere=self._elsewhere() if self.method.info.structure else None",
    "elsewhere=None",
    "tests/derivatives/test_prepare.py::test_a_structure_is_looked_at_at_a_second_point_too",
)
native(
    "an x of another shape is taken",
    "if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:",
    "if leaf.dtype != known.dtype:",
    "tests/derivatives/test_prepare.py::test_points_unlike_the_one_prepared_are_refused",
)
native(
    "an x of another dtype is taken",
    "if tuple(leaf.shape) != tuple(known.shape) or leaf.dtype != known.dtype:",
    "if tuple(leaf.shape) != tuple(known.shape):",
    "tests/derivatives/test_prepare.py::test_points_unlike_the_one_prepared_are_refused",
)
native(
    "columns are taken for rows",
    "parts = [parts[0].reshape(sum(sizes), m).T]",
    "parts = [parts[0].reshape(m, sum(sizes))]",
    "tests/derivatives/test_functions.py",
    "tests/derivatives/test_native_operators.py",
)
native(
    "samples that interact are not refused",
    '        if pair is not None:\n            raise JacbenchError(f"{self.who}: {sample_coupling',
    '        if False:\n            raise JacbenchError(f"{self.who}: {sample_coupling',
    "tests/checking/test_sample_independence.py",
)

native(
    "a function that writes into its argument is taken",
    "if self.backend.was_written(copy, leaf):",
    "if False:",
    "tests/derivatives/test_functions.py::test_a_function_that_writes_into_its_argument_is_told_so",
)
native(
    "a function gets the user's own x",
    "own = tree.map_leaves(self.backend.copied, x)",
    "own = x",
    "tests/derivatives/test_functions.py::test_a_function_that_writes_into_its_argument_is_told_so",
)
isolation = STRUCTURE.of(
    "backends/jacbench_torch/isolation.py",
    "tests/backends/test_torch_isolation.py"
    "::test_a_jacobian_is_right_where_gradients_are_switched_off",
)
isolation(
    "a call under no_grad has no graph",
    "if is_inference() or not is_on():",
    "if False:",
)
isolation(
    "a preparation under no_grad has no graph",
    "if _switched_off() or (tracked(x) and not transformed(x)):",
    "if False:",
)
loops(
    "the .grad of parameters is added to",
    "            y.backward(one_hot, retain_graph=True, inputs=leaves)",
    "            y.backward(one_hot, retain_graph=True)",
    "tests/backends/test_torch_isolation.py::test_the_grad_of_parameters_is_left_alone",
)

point = STRUCTURE.of(
    "jacbench/derivatives/point.py",
    "tests/derivatives/test_point.py",
    "tests/derivatives/test_functions.py",
)
point(
    "an x that is not finite is taken",
    "if not np.isfinite(value).all():",
    "if False:",
    "tests/derivatives/test_functions.py::test_points_without_a_jacobian",
)
point(
    "a float64 x may become float32",
    "    if made != dtype:\n",
    "    if False:\n",
    "tests/derivatives/test_functions.py::test_float64_where_jax_has_it_switched_off",
)
