"""The naive peer: FastAPI, a response model for each row, and the ORM on SQLite.

A good engineer's first afternoon: typed parameters, one indexed query, no cache. `PEER_DB_URL`
names its database. Run it as anyone would: `uvicorn benchmarks.reads.peer:app`.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(os.environ["PEER_DB_URL"])
new_session = sessionmaker(engine)


class Base(DeclarativeBase):
    """The tables."""


class Average(Base):
    """One average of one day; the primary key is the index that the query needs."""

    __tablename__ = "averages"

    pair: Mapped[str] = mapped_column(primary_key=True)
    days: Mapped[int] = mapped_column(primary_key=True)
    timestamp: Mapped[int] = mapped_column(primary_key=True)
    mms: Mapped[float]


class Point(BaseModel):
    """One row of a reply."""

    model_config = ConfigDict(from_attributes=True)

    timestamp: int
    mms: float


def session() -> Iterator[Session]:
    """A session for one request."""
    with new_session() as opened:
        yield opened


app = FastAPI()


@app.get("/{pair}/mms", response_model=list[Point])
def averages(
    pair: Literal["BRLBTC", "BRLETH"],
    session: Annotated[Session, Depends(session)],
    range: Literal["20", "50", "200"],
    since: Annotated[datetime | None, Query(alias="from")] = None,
    until: Annotated[datetime | None, Query(alias="to")] = None,
) -> Sequence[Average]:
    """The averages of a pair from one moment to another, of the last 365 days by default."""
    if until is None:
        until = datetime.now(UTC)
    if since is None:
        since = datetime.combine(until.date() - timedelta(days=365), datetime.min.time(), UTC)
    if until.timestamp() < since.timestamp():
        raise HTTPException(400, "the period is reversed")
    query = (
        select(Average)
        .where(Average.pair == pair, Average.days == int(range))
        .where(Average.timestamp.between(int(since.timestamp()), int(until.timestamp())))
        .order_by(Average.timestamp)
    )
    return session.scalars(query).all()
