"""What a recipe would do, and what it would take, before anything runs."""

from bistil.planning.planned import Plan, Planned, plan

__all__ = ["Plan", "Planned", "plan"]
