"""Matching the arguments of a solver with those of its optimality function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mdsens.errors import InputError


class SignatureError(InputError, TypeError):
    """The arguments of the solver do not fit the optimality function."""


def with_defaults(
    signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]
) -> tuple[tuple, dict[str, Any]]:
    """The arguments as the solver will see them, its own defaults filled in.

    Raises:
        SignatureError: the solver does not take them.
    """
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise SignatureError(f"the solver{signature} was called wrongly: {error}") from error
    bound.apply_defaults()
    return bound.args, bound.kwargs


def as_positional(
    reference: inspect.Signature, args: tuple, kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """The same arguments in the order in which the optimality function takes them.

    Raises:
        SignatureError: an argument has no place there, or only in a catch-all **kwargs.
    """
    try:
        bound = reference.bind(*args, **kwargs)
    except TypeError as error:
        raise SignatureError(
            f"the solver's arguments do not fit the optimality function's {reference}: {error}; "
            "give both the same parameters, or say reference_signature="
        ) from error
    if bound.kwargs:
        raise SignatureError(
            f"the arguments {sorted(bound.kwargs)} can only be passed by keyword in {reference}; "
            "name them as positional parameters there, or say reference_signature="
        )
    return bound.args


def signature_of(reference: Callable[..., Any] | inspect.Signature) -> inspect.Signature:
    """The signature of a callable, or the signature that was given instead of one.

    Raises:
        SignatureError: it is no function, or a built-in one that hides its signature.
    """
    if isinstance(reference, inspect.Signature):
        return reference
    try:
        return inspect.signature(reference)
    except (TypeError, ValueError) as error:
        raise SignatureError(
            f"a function with a signature is needed, not {reference!r} ({error}); wrap it in a "
            "function of (init, *args)"
        ) from error
