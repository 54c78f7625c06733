"""What one request, and one department in a day, may take: tables of an organisation file. 0 is no limit. Pure."""

from typing import Annotated

from msgspec import Meta

from mai.agents.models import Money, Tokens
from mai.agents.parts import Part

Most = Annotated[int, Meta(ge=0, le=10**9)]
Span = Annotated[float, Meta(ge=0, le=10**7)]


class RequestLimits(Part, frozen=True, kw_only=True):
    """The table `limits.request`: one request of the client, all departments together. Its time is `limits.request_s`."""

    asks: Most = 1000  # for contracts of other departments
    turns: Most = 1000  # questions to models
    hops: Most = 0  # tasks handed on inside departments
    steps: Most = 0  # of agents' code
    tool_calls: Most = 0
    tokens: Tokens = 0  # of models, input and output together
    money: Money = 0.0

    @property
    def granted(self) -> bool:
        """Is there something that departments have to have granted?"""
        return bool(self.hops or self.steps or self.tool_calls)


class DayLimits(Part, frozen=True, kw_only=True):
    """The table `departments.X.day`: a calendar day in the organisation's time zone."""

    tasks: Most = 0  # from Mai
    hops: Most = 0
    tool_calls: Most = 0
    seconds: Span = 0.0  # that its tasks are open, each by itself
    tokens: Tokens = 0
    money: Money = 0.0

    @property
    def counted(self) -> bool:
        """Is there something that the department itself has to count?"""
        return bool(self.tasks or self.hops or self.tool_calls or self.seconds)
