"""Builder: makes the populations of a Network from affine values; it knows no torch.

What is linear folds into the values (:mod:`.affine`); a neuron function makes the next population,
and a linear one stands where two linear maps in a row do not become one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from ..model.functions import UNARY
from ..model.heads import Output
from ..model.inputs import Part
from ..model.maps import MAPS, Conv, Dense, Layout, LinearMap, Planes, Sliding
from ..model.network import INPUT, LINEAR, MAX, READOUT, Network, Operand, Population, Projection
from ..model.products import Product
from ..model.several import SEVERAL
from ..model.ties import EVEN
from .affine import Affine, Form, Gather, Matrix, Sum, Turned, summed
from .planes import Entangled, alike, lined_up
from .refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where something stands in the user's model.

    Parameters
    ----------
    place
        ``file.py:line`` of the source; empty if unknown.
    path
        Of the module, ``features.0``; empty outside of modules.
    """

    place: str = ""
    path: str = ""


@dataclass
class Builder:
    """Makes populations, in the order of the graph.

    Members
    -------
    populations : made so far, the input first
    layouts : ways to see a population as planes, by name
    positive : names of populations that are never below 0
    integers : of weights that were trained with quantisation, by the name of their layer, (n_out,)
        greatest common divisor of each row's; ``None`` where two layers have one name
    """

    populations: list[Population] = field(default_factory=list)
    layouts: dict[str, list[Layout]] = field(default_factory=dict)
    positive: set[str] = field(default_factory=set)
    integers: dict[str, np.ndarray | None] = field(default_factory=dict)

    def network(
        self, name: str, outputs: tuple[Output, ...] = (), inputs: tuple[Part, ...] = ()
    ) -> Network:
        """Return the network, without populations that nothing reads."""
        read = {self.populations[0].name, self.populations[-1].name}
        for population in reversed(self.populations):
            if population.name in read:
                read |= {p.source for p in population.sources}
                products = (q for operand in population.operands for q in operand.products)
                read |= {name for q in products for name in (q.source, q.other)}
        kept = [p for p in self.populations if p.name in read]
        names = self.of_copies([p for p in self.populations if p.name not in read], kept)
        populations = tuple(renamed(p, names) for p in kept)
        return Network(name=name, populations=populations, outputs=outputs, inputs=inputs)

    def of_copies(self, unread: list[Population], kept: list[Population]) -> dict[str, str]:
        """Return the names of populations that nothing reads for those of their copies."""
        copies = {p.name: [c for c in kept if c.operands is p.operands] for p in unread}
        return {found[0].name: name for name, found in copies.items() if len(found) == 1}

    def __getitem__(self, name: str) -> Population:
        return next(p for p in self.populations if p.name == name)

    def unique(self, name: str) -> str:
        taken = {p.name for p in self.populations}
        numbered = (f"{name}_{i}" for i in range(2, len(taken) + 3))
        return name if name not in taken else next(n for n in numbered if n not in taken)

    # -- populations -----------------------------------------------------------------------------

    def add_input(self, shape: tuple[int, ...]) -> Affine:
        """Append the input, of samples of ``shape``, and return its value."""
        self.populations.append(Population(name=INPUT, shape=shape, function=INPUT))
        value = Affine.of(INPUT, shape)
        self.note_layout(value)
        return value

    def add_population(
        self,
        operands: list[Affine],
        function: str,
        site: Site,
        *,
        name: str = "",
        limit: float | None = None,
        parameters: tuple[float, ...] = (),
    ) -> Affine:
        """Append a population that reads ``operands`` and return its own value.

        Its name is ``name``, else that of the layer whose weights it takes in, of the module at
        ``site``, or of the function.
        """
        whole = operands[0]
        if function == READOUT:  # whose outputs keep their order
            order, operands = None, [self.unturned(value, dense=True) for value in operands]
        else:
            order, operands = self.ordered(operands)
        value = operands[0]
        name = self.unique(name or value.origin or site.path or function)
        maps = [self.maps(operand, value.shape, together=len(operands) > 1) for operand in operands]
        every = [m for operand in maps for _, m in operand]
        if len({m.out_shape for m in every}) > 1:
            same = iter(alike(every) or ())
            maps = [[(source, next(same, m)) for source, m in operand] for operand in maps]
        shapes = {m.out_shape for operand in maps for _, m in operand}
        if len(shapes) > 1:
            raise Refused("a sum of planes and of what a linear layer gives")
        shape = shapes.pop() if shapes else (value.size,)
        self.populations.append(
            Population(
                name=name,
                shape=shape,
                function=function,
                operands=tuple(
                    Operand(
                        projections=tuple(
                            Projection(source=s, map=m, common=self.common(operand, m))
                            for s, m in found
                        ),
                        bias=per_channel(operand.bias, shape),
                    )
                    for operand, found in zip(operands, maps, strict=True)
                ),
                place=site.place,
                limit=limit,
                parameters=parameters,
            )
        )
        self.check_finite(self.populations[-1])
        some_positive = any(map(self.is_positive, operands))
        nonnegative = function in UNARY and UNARY[function].nonnegative
        if function == "relu" or nonnegative or (function == MAX and some_positive):
            self.positive.add(name)
        result = Affine.of(name, shape)
        self.note_layout(result)
        result = result.reshaped(value.shape)
        self.note_layout(result)
        if order is not None:
            result = result.rearranged(np.argsort(order.ravel()).reshape(whole.shape))
            self.note_layout(result)
        return result

    def note_integers(self, name: str, rows: np.ndarray) -> None:
        """Remember the integers of quantised weights, (n_out, n_in), of the layer ``name``."""
        divisors = np.gcd.reduce(rows.astype(np.int64), axis=1)
        known = self.integers.setdefault(name, divisors)
        if known is not None and not np.array_equal(known, divisors):
            self.integers[name] = None

    def common(self, value: Affine, linear: LinearMap) -> np.ndarray | None:
        """Return what the rows of a map's trained integers have for their common divisors."""
        divisors = self.integers.get(value.origin)
        if divisors is None or linear.fixed or len(divisors) != len(linear.weights):
            return None
        return divisors

    def add_products(self, product: Product, site: Site, name: str = "") -> Affine:
        """Append a population of sums of products and return its value, (b, n, m)."""
        name = self.unique(name or site.path or "products")
        operand = Operand(projections=(), bias=np.zeros((1, 1, 1)), products=(product,))
        shape = product.out_shape
        self.populations.append(
            Population(
                name=name, shape=shape, function=LINEAR, operands=(operand,), place=site.place
            )
        )
        if {product.source, product.other} <= self.positive:
            self.positive.add(name)
        result = Affine.of(name, shape)
        self.note_layout(result)
        b, n, m = len(product.left), product.left.shape[1], product.right.shape[2]
        result = result.reshaped((b * m, n))
        self.note_layout(result)
        result = result.rearranged(result.places.reshape(b, m, n).swapaxes(1, 2))
        self.note_layout(result)
        return result

    def levelled(
        self,
        value: Affine,
        ends: tuple[float, float],
        step: float,
        site: Site,
        *,
        alone: bool = True,
    ) -> Affine:
        """Return a value rounded to multiples of ``step`` between ``ends``, by its population.

        Where something else reads that population too, not ``alone`` this, a copy of it rounds. A
        linear population rounds what is no population's own value, or what its population cannot
        clamp.
        """
        found = self[next(iter(value.terms))] if is_plain(value) else None
        if found is not None and self.has_levels(found, ends, step):
            return value
        if found is None or found.step is not None or found.function in (MAX, *SEVERAL):
            function = "relu" if self.is_positive(value) or ends[0] >= 0 else LINEAR
            value = self.add_population([value], function, site)
            found = self[next(iter(value.terms))]
        elif not alone and found.function == INPUT:
            function = "relu" if ends[0] >= 0 else LINEAR
            value = self.add_population([value], function, site)
            found = self[next(iter(value.terms))]
        elif not alone:
            value, found = self.copied(value, found, ends, step)
        if found.step is not None:
            return value  # of a copy that there was
        low = max(0.0, ends[0]) if found.name in self.positive else ends[0]
        high = ends[1] if found.limit is None else min(ends[1], found.limit)
        levelled = replace(found, low=low, limit=high, step=step, ties=EVEN)
        self.populations[self.populations.index(found)] = levelled
        return value

    def rectified(self, value: Affine, limit: float | None, *, alone: bool) -> bool:
        """Whether a ReLU of ``value`` is done by the population that rounds it, which is told so.

        That of rounded values is the rounded one of a ReLU. Only where nothing else reads them.
        """
        found = self[next(iter(value.terms))] if alone and is_plain(value) else None
        if found is None or found.step is None or found.function != LINEAR:
            return False
        assert found.low is not None and found.limit is not None, "a step has both ends"
        top = found.limit if limit is None else min(found.limit, limit)
        if top <= 0 or abs(top / found.step - round(top / found.step)) > 1e-6:
            return False
        levelled = replace(found, function="relu", low=max(0.0, found.low), limit=top)
        self.populations[self.populations.index(found)] = levelled
        self.positive.add(found.name)
        return True

    def has_levels(self, found: Population, ends: tuple[float, float], step: float) -> bool:
        """Whether a population's values are multiples of ``step`` between ``ends`` already."""
        if found.function == MAX and found.step is None and not found.operands[0].bias.any():
            sources = {p.source for p in found.sources}
            return all(self.has_levels(self[source], ends, step) for source in sources)
        if found.step is None or not np.isclose(found.step, step, rtol=1e-6, atol=0):
            return False
        assert found.low is not None and found.limit is not None, "a step has both ends"
        slack = step / 4
        return ends[0] - slack <= found.low and found.limit <= ends[1] + slack

    def copied(
        self, value: Affine, found: Population, ends: tuple[float, float], step: float
    ) -> tuple[Affine, Population]:
        """Return ``value`` as that of a population like ``found``, and that, made once."""
        alike = (p for p in self.populations if p.operands is found.operands and p is not found)
        copy = next((p for p in alike if self.has_levels(p, ends, step)), None)
        if copy is None:
            copy = replace(found, name=self.unique(found.name))
            self.populations.append(copy)
            self.layouts[copy.name] = list(self.layouts.get(found.name, []))
            if found.name in self.positive:
                self.positive.add(copy.name)
        (form,) = value.terms.values()
        return replace(value, terms={copy.name: form}), copy

    def inner_population(self, source: str, inner: LinearMap, value: Affine) -> str:
        """Return the name of a linear population of a map's results and nothing else."""
        for known in self.populations:
            only = [(p.source, p.map) for p in known.sources]
            plain = known.function == LINEAR and known.step is None
            if plain and only == [(source, inner)] and not known.operands[0].bias.any():
                return known.name
        bias = np.zeros((inner.out_shape[0], *[1] * (len(inner.out_shape) - 1)))
        operand = Operand(projections=(Projection(source=source, map=inner),), bias=bias)
        name = self.unique(f"{value.origin or source}_linear")
        self.populations.append(
            Population(name=name, shape=inner.out_shape, function=LINEAR, operands=(operand,))
        )
        self.note_layout(Affine.of(name, inner.out_shape))
        return name

    def is_positive(self, value: Affine) -> bool:
        """Whether a value is known never to be below 0."""
        return bool((value.bias >= 0).all()) and all(
            name in self.positive and has_no_sign(form) for name, form in value.terms.items()
        )

    def check_finite(self, population: Population) -> None:
        for projection in population.sources:
            if not np.isfinite(projection.map.weights).all():
                raise ValueError(f"the weights of {population.name!r} are not finite")
        for operand in population.operands:
            nothing = np.isneginf(operand.bias) & (population.function == MAX)
            if not (np.isfinite(operand.bias) | nothing).all():
                raise ValueError(f"the bias of {population.name!r} is not finite")

    # -- the order in which a value is a map of planes ---------------------------------------------

    def ordered(self, operands: list[Affine]) -> tuple[np.ndarray | None, list[Affine]]:
        """Return the order in which all operands are maps of planes, and the operands in it.

        ``None`` is the order that they have. Where there is none, what is turned becomes a
        population.
        """
        found = self.common_order(operands)
        return (None, [self.unturned(value) for value in operands]) if found is None else found

    def common_order(self, operands: list[Affine]) -> tuple[np.ndarray | None, list[Affine]] | None:
        """Return the same; ``None`` where there is no such order and something is turned."""
        parts = [part for value in operands for f in value.terms.values() for part in parts_of(f)]
        turned = any(isinstance(part, Turned) for part in parts)
        shape = operands[0].shape
        if not turned and (len(shape) == 1 or any(isinstance(p, Matrix) for p in parts)):
            return None, operands
        if all(map(self.is_structured, operands)):
            return None, operands
        for order in [*natural_orders(parts), *(orders(shape) if len(shape) > 1 else ())]:
            moved = [value.rearranged(order) for value in operands]
            if all(map(self.is_structured, moved)):
                return order, moved
        return None if turned else (None, operands)

    def is_structured(self, value: Affine) -> bool:
        """Whether each part of a value is a map of planes."""
        if len(value.shape) > 3:
            return False
        parts = [(s, part) for s, form in value.terms.items() for part in parts_of(form)]
        slides = list(planes_of_windows(part for _, part in parts))
        own = Layout.of(value.shape).planes
        sizes = (slides[0], own) if slides else (own,)
        return all(
            isinstance(part, LinearMap)
            or (isinstance(part, Gather) and any(self.window(source, part, s) for s in sizes))
            for source, part in parts
        )

    def unturned(self, value: Affine, *, dense: bool = False) -> Affine:
        """Return a value with populations in the place of maps whose order nothing undoes.

        ``dense`` makes matrices of those that are small.
        """
        if not any(isinstance(p, Turned) for form in value.terms.values() for p in parts_of(form)):
            return value
        result = replace(value, terms={})
        for source, form in value.terms.items():
            for part in parts_of(form):
                read = source
                if isinstance(part, Turned) and dense and part.is_small:
                    part = part.dense()
                elif isinstance(part, Turned):
                    read, part = self.inner_population(source, part.inner, value), part.outer
                term = replace(value, terms={read: part}, bias=np.zeros(value.size))
                result = result.plus(term)
        self.note_layout(result)
        return result

    def note_layout(self, value: Affine) -> None:
        """Remember how a value orders a population's neurons, where it does nothing else."""
        for source, form in value.terms.items():
            layout = layout_of(form, value.shape)
            known = self.layouts.setdefault(source, [])
            if layout is not None and layout not in known:
                known.append(layout)

    # -- maps ------------------------------------------------------------------------------------

    def maps(
        self, value: Affine, shape: tuple[int, ...], *, together: bool
    ) -> list[tuple[str, LinearMap]]:
        """Return the maps whose sum is ``value``, each with the population that it reads.

        ``together``: it stands beside other operands, which are windows.
        """
        parts = [(source, part) for source, form in value.terms.items() for part in parts_of(form)]
        slides = list(planes_of_windows(part for _, part in parts))
        planes = slides[0] if slides else None
        if not slides and (together or len(parts) > 1 or len(shape) > 1) and len(shape) <= 3:
            planes = Layout.of(shape).planes
        found: list[tuple[str, LinearMap]] = []
        rest: dict[str, Gather | Matrix] = {}
        for source, part in parts:
            if isinstance(part, Gather) and planes is not None:
                own = Layout.of(shape).planes if len(shape) <= 3 else planes
                seen = self.window(source, part, planes) or self.window(source, part, own)
                part = part if seen is None else seen
            if isinstance(part, LinearMap):
                found.append((source, part))
            else:
                assert isinstance(part, Gather | Matrix), "what was turned is a population by now"
                known = rest.get(source)
                rest[source] = part if known is None else summed(known, part)
        return found + [(source, self.dense(form, source)) for source, form in rest.items()]

    def window(self, source: str, form: Gather, out: Planes) -> LinearMap | None:
        """Return a gather as a map of windows over the planes of a population."""
        if int(np.prod(out)) != form.n_out:
            return None
        shape = self.shape_of(source)
        size = int(np.prod(shape))
        single = [Layout(planes=(1, 1, size)), Layout(planes=(size, 1, 1))]
        plain = max(shape) == size  # single values can be a row as well as a column
        known = self.layouts.get(source, [])
        lines = [found for layout in known if (found := lined_up(layout, out[1:])) is not None]
        layouts = [*known, *lines, *(single if plain else [])]
        for kind in MAPS.values():
            for layout in layouts:
                found = kind.gathered(form.index, form.scale, out, shape, layout)
                if found is not None:
                    return found
        return None

    def shape_of(self, source: str) -> tuple[int, ...]:
        return self[source].shape

    def dense(self, form: Gather | Matrix, source: str) -> Dense:
        try:
            matrix = form.dense().matrix
        except ValueError as error:
            raise Refused(str(error)) from error
        return Dense(np.ascontiguousarray(matrix), self.shape_of(source))

    def through_planes(
        self, shape: tuple[int, ...], x: Affine, outer: Sliding, name: str = ""
    ) -> Affine:
        """Return a map of planes applied to a value, seen as ``shape``."""
        planes = outer.layout.planes
        terms = {}
        for source, form in x.terms.items():
            parts = []
            for part in parts_of(form):
                if isinstance(part, Gather):
                    part = self.window(source, part, planes)
                if not isinstance(part, LinearMap):
                    raise Entangled("its argument is no slice or padding of planes")
                parts.append(part)
            terms[source] = parts[0] if len(parts) == 1 else Sum(tuple(parts))
        seen = Affine(shape=x.shape, terms=terms, bias=x.bias, origin=x.origin)
        return seen.through(outer, shape, name)

    def mixed(
        self, x: Affine, matrix: np.ndarray, name: str = "", *, fixed: bool = False, groups: int = 1
    ) -> Affine:
        """Return a matrix applied to each column of a value (n, columns).

        Parameters
        ----------
        matrix
            (m, n / groups).
        fixed
            It holds plain factors.
        groups
            Equal runs of rows that are mixed apart.
        """
        n, columns = x.shape
        self.note_layout(x)
        outer = Conv(
            in_shape=(n, 1, columns),
            layout=Layout(planes=(n, 1, columns)),
            kernel=matrix[:, :, None, None],
            groups=groups,
            fixed=fixed,
        )
        return self.through_planes((len(matrix), columns), x, outer, name)


def renamed(population: Population, names: Mapping[str, str]) -> Population:
    """Return a population with other names for itself and for what it reads."""
    if not names:
        return population

    def operand(old: Operand) -> Operand:
        return replace(
            old,
            projections=tuple(
                replace(p, source=names.get(p.source, p.source)) for p in old.projections
            ),
            products=tuple(
                replace(q, source=names.get(q.source, q.source), other=names.get(q.other, q.other))
                for q in old.products
            ),
        )

    return replace(
        population,
        name=names.get(population.name, population.name),
        operands=tuple(map(operand, population.operands)),
    )


def planes_of_windows(parts: Iterable[Form]) -> Iterator[Planes]:
    """Yield the planes that those parts give which read windows."""
    for part in parts:
        if isinstance(part, LinearMap) and part.out_planes is not None:
            yield part.out_planes


def is_plain(value: Affine) -> bool:
    """Whether a value is that of one population, in any order, of any padding."""
    return (
        len(value.terms) == 1
        and all(
            isinstance(form, Gather) and (form.scale[form.index >= 0] == 1).all()
            for form in value.terms.values()
        )
        and not value.bias.any()
    )


def parts_of(form: Form) -> tuple[Form, ...]:
    return form.parts if isinstance(form, Sum) else (form,)


def has_no_sign(form: Form) -> bool:
    """Whether a form has no coefficient below 0."""
    if isinstance(form, Gather):
        return bool((form.scale >= 0).all())
    if isinstance(form, Sum):
        return all(map(has_no_sign, form.parts))
    if isinstance(form, Turned):
        return has_no_sign(form.outer) and has_no_sign(form.inner)
    return bool(((form.matrix if isinstance(form, Matrix) else form.weights) >= 0).all())


def natural_orders(parts: list[Form]) -> Iterator[np.ndarray]:
    """Yield the orders that undo what is turned, each once."""
    seen = []
    for part in parts:
        if isinstance(part, Turned) and part.outer.n_out == part.outer.n_in:
            index = part.outer.index
            if (np.bincount(index[index >= 0], minlength=len(index)) == 1).all():
                order = np.argsort(index).reshape(part.inner.out_shape)
                if not any(np.array_equal(order, known) for known in seen):
                    seen.append(order)
                    yield order


def orders(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the elements of a shape with their axes in every order, as planes or in rows."""
    places = np.arange(int(np.prod(shape))).reshape(shape)
    for axes in permutations(range(len(shape))):
        moved = places.transpose(axes)
        if moved.ndim <= 3:
            yield moved
        if moved.ndim > 2:
            yield moved.reshape(-1, moved.shape[-1])
            yield moved.reshape(moved.shape[0], -1)


def layout_of(form: Form, shape: tuple[int, ...]) -> Layout | None:
    """Return the planes that the order of a population's neurons makes, scaled or not."""
    if not isinstance(form, Gather) or form.n_out != form.n_in or not 1 <= len(shape) <= 3:
        return None
    planes = Layout.of(shape).planes
    index = form.index.reshape(planes)
    steps = [
        int(index.take(1, k).flat[0] - index.flat[0]) if n > 1 else 0 for k, n in enumerate(planes)
    ]
    order = sorted(range(3), key=lambda k: (-steps[k] if planes[k] > 1 else -form.n_in, k))
    layout = Layout(planes=planes, axes=(order.index(0), order.index(1), order.index(2)))
    straight = layout.seen(np.arange(form.n_in)[None])[0]
    return layout if np.array_equal(straight, index) else None


def per_channel(bias: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a bias in ``shape``, with one number a channel where its pixels do not differ."""
    bias = bias.reshape(shape)
    if len(shape) == 1:
        return bias
    first = bias.reshape(len(bias), -1)[:, 0].reshape(-1, *[1] * (len(shape) - 1))
    return first if np.allclose(bias, first, rtol=1e-12, atol=0) else bias
