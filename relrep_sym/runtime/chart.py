"""The generated functions of one chart, as the runtime takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.closed import Medians, Order, Roots
from relrep_sym.runtime.point import Parts

__all__ = ["Chart"]


class Chart(NamedTuple):
    """The generated functions of one chart; arrays are rows (…, B).

    Attributes:
        coordinates: their names.
        constants: the names of what is given; its rows come after the coordinates'.
        lower, upper, open_lower: ends of the domains of both, and whether the lower one is open.
        parameters: the names of θ.
        components: coordinates → the mixture's weights, parameters and, where the chart knows them
            better, steps φ_{k+1} − φ_k.
        to_model: coordinates → θ.
        pull_back: (coordinates, ∂/∂π_k, ∂/∂φ_k …) → ∂/∂λ_j.
        pull_back_model: (coordinates, ∂/∂θ_i) → ∂/∂λ_j.
        from_model: (θ, constants) → coordinates; None where there is no inverse.
        model_components: θ → the mixture's components.
        to_parameters: (weights, family parameters) → θ.
        m_step: (mass, means, family parameters) → (weights, family parameters); None where there
            is no closed form.
        view: coordinates → the view's functions; None where no view was asked for.
        push_view: (coordinates, dλ/dt) → db/dt.
        sampler: (generator, family parameters) → a draw for each entry; None where none is known.
        reference: the component that ∂/∂π_k is relative to, whose own is zero; None where that is
            the heaviest of each mixture.
        why: reasons, by function, for what is None.
        bend: (coordinates, a direction, ∂/∂π_k, ∂/∂φ_k …) → the pull-back's change along the
            direction, ∂/∂φ held; None where the chart is linear.
        view_names: the names of the view's functions.
        orders: the parameters that the chart keeps in order, where these problems are solved
            exactly; else empty.
        clearances: constants → for each order its clearances, one a link; None without orders.
        roots: the coordinate along which Q is stationary at the roots of a polynomial, if any.
        safe_rate: 2/λ_max(Aᵀ diag(c) A) of a linear chart, a rate at which gradient EM lowers the
            likelihood of no data; None where there is none.
        sharp_rate: the least upper bound of such rates, 2/max_k c_k |a_k|²; None alike.
        conditional: for each coordinate how ECM maximises Q over it: ``"simplex k"``,
            ``"softmax k"``, ``"stick k"`` or ``"weight"`` where it makes weights; ``"shift gap role
            k"`` where Q is quadratic in a function of it; ``"own gap role k"`` where it is behind
            one family parameter of component k, ``"added gap role k"`` where more is added to it;
            ``"mixed"`` where it moves weights and more; ``"search"`` where nothing is known.
        conditional_step: (mass, means, family parameters) → each family parameter's maximiser of Q
            at given others, None where there is no closed form; None where no step reads it.
        medians: the M-step of weighted medians; None where log f is no multiple of |x − μ|.
        gap_units: in other units than the chart's own, what the function of each coordinate's gap
            is measured in where that cannot be the coordinate's unit (a logarithm of a length).
    """

    coordinates: tuple[str, ...]
    constants: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    open_lower: tuple[bool, ...]
    parameters: tuple[str, ...]
    components: Callable[..., Parts]
    to_model: Callable[..., Sequence[Array]]
    pull_back: Callable[..., Sequence[Array]]
    pull_back_model: Callable[..., Sequence[Array]]
    from_model: Callable[..., Sequence[Array]] | None
    model_components: Callable[..., Parts]
    to_parameters: Callable[..., Sequence[Array]]
    m_step: Callable[..., tuple[Array, tuple[Array, ...]]] | None
    view: Callable[..., Sequence[Array]] | None
    push_view: Callable[..., Sequence[Array]] | None
    sampler: Callable[..., Array] | None
    reference: int | None
    why: dict[str, str]
    bend: Callable[..., Sequence[Array | float]] | None = None
    view_names: tuple[str, ...] = ()
    orders: tuple[Order, ...] = ()
    clearances: Callable[[Array], Sequence[Sequence[Array | float]]] | None = None
    roots: Roots | None = None
    safe_rate: float | None = None
    sharp_rate: float | None = None
    medians: Medians | None = None
    conditional: tuple[str, ...] = ()
    conditional_step: Callable[..., tuple[Array | None, ...]] | None = None
    gap_units: tuple[float, ...] = ()
