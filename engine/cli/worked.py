"""Worked examples of the language reference: what users asked for, as segments, facts and what is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.conditions.example import Example


@dataclass(frozen=True, slots=True)
class Worked:
    """One worked example: `rows` of the requirements that it shows, what it is for, and the example itself."""

    heading: str
    rows: str
    text: str
    example: Example


WORKED: Final = (
    Worked(
        "Interest as a score",
        "R59",
        "Recency of interest, as a score: three of the last five products that somebody looked at are tea. What was "
        "looked at long ago stops counting as soon as newer views push it out, without any window of time.",
        Example(
            "Three of the last five views are tea",
            """
            segment: into-tea
            name: Into tea
            when:
              did: {event: product_view, where: {category: tea}, of_last: 5, count: {gte: 3}}
            """,
            """
            2026-05-01T10:00:00Z product_view c-1 {"category": "tea"}
            2026-05-01T10:01:00Z product_view c-1 {"category": "tea"}
            2026-05-01T10:02:00Z product_view c-1 {"category": "mugs"}
            2026-05-01T10:03:00Z product_view c-1 {"category": "tea"}
            2026-05-01T10:04:00Z product_view c-1 {"category": "mugs"}
            2026-05-01T10:05:00Z product_view c-1 {"category": "mugs"}
            """,
            "2026-06-01T00:00:00Z",
            """
            2026-05-01T10:03:00.000Z enter into-tea c-1 event
            2026-05-01T10:05:00.000Z exit into-tea c-1 event
            """,
        ),
    ),
    Worked(
        "Quiz depth",
        "R24, R25",
        "Who finished the quiz and did not buy is warm; who left it after the first question, with half an hour of "
        "silence, is cool. One group keeps a contact from being in two stages at once, and its exit comes before the "
        "enter.",
        Example(
            "Cool, warm, hot",
            """
            segment: hot
            group: {name: maturity, priority: 30}
            when: {did: {event: purchase}}
            ---
            segment: warm
            group: {name: maturity, priority: 20}
            when:
              all:
                - did: {event: quiz_completed}
                - not: {did: {event: purchase}}
            ---
            segment: cool
            group: {name: maturity, priority: 10}
            when:
              missed:
                after: {event: quiz_step, where: {step: 1}}
                expect: {event: quiz_step, where: {step: {gt: 1}}}
                within: PT30M
            """,
            """
            2026-05-01T10:00:00Z quiz_step left {"step": 1}
            2026-05-01T10:00:00Z quiz_step stays {"step": 1}
            2026-05-01T10:05:00Z quiz_step stays {"step": 2}
            2026-05-01T10:06:00Z quiz_completed stays
            2026-05-03T09:00:00Z purchase stays {"amount": 20}
            """,
            "2026-06-01T00:00:00Z",
            """
            2026-05-01T10:06:00.000Z enter warm stays event
            2026-05-01T10:30:00.000Z enter cool left clock
            2026-05-03T09:00:00.000Z exit warm stays event
            2026-05-03T09:00:00.000Z enter hot stays event
            """,
        ),
    ),
    Worked(
        "First touch",
        "R29",
        "Where somebody came from is what the first visit said, by UTM mark, QR code or tag; a second visit from "
        "elsewhere changes nothing.",
        Example(
            "Came by Telegram first",
            """
            segment: from-telegram
            when:
              aggregate: {fn: first, of: utm_source, event: [visit, qr_scan], is: telegram}
            """,
            """
            2026-05-01T10:00:00Z visit c-1 {"utm_source": "telegram"}
            2026-05-09T10:00:00Z visit c-1 {"utm_source": "yandex"}
            2026-05-01T10:00:00Z qr_scan c-2 {"utm_source": "shop-7"}
            2026-05-02T10:00:00Z visit c-2 {"utm_source": "telegram"}
            """,
            "2026-06-01T00:00:00Z",
            """
            2026-05-01T10:00:00.000Z enter from-telegram c-1 event
            """,
        ),
    ),
    Worked(
        "Region and local time",
        "R30, R31",
        "Buyers of two cities, from ten in the morning to six in the evening of their own clock, Monday to Friday. "
        "Vladivostok is seven hours ahead of Moscow: its contacts enter and leave seven hours earlier.",
        Example(
            "Ten o'clock local time",
            """
            segment: office-hours
            when:
              all:
                - profile: {city: {in: [Moscow, Vladivostok]}}
                - local_time: {from: "10:00", to: "18:00", days: [mon, tue, wed, thu, fri]}
            """,
            """
            2026-05-08T00:30:00Z contact_updated v {"city": "Vladivostok", "timezone": "Asia/Vladivostok"}
            2026-05-08T01:00:00Z contact_updated m {"city": "Moscow", "timezone": "Europe/Moscow"}
            2026-05-08T08:00:00Z contact_updated k {"city": "Kazan", "timezone": "Europe/Moscow"}
            """,
            "2026-05-11T06:00:00Z",
            """
            2026-05-08T00:30:00.000Z enter office-hours v event
            2026-05-08T07:00:00.000Z enter office-hours m clock
            2026-05-08T08:00:00.000Z exit office-hours v clock
            2026-05-08T15:00:00.000Z exit office-hours m clock
            2026-05-11T00:00:00.000Z enter office-hours v clock
            """,
        ),
    ),
    Worked(
        "Stages of a journey",
        "R32",
        "A lead becomes a buyer with the first purchase: out of the one and into the other in one step.",
        Example(
            "Lead, buyer",
            """
            segment: lead
            when: {not: {did: {event: purchase}}}
            ---
            segment: buyer
            when: {did: {event: purchase}}
            """,
            """
            2026-05-01T10:00:00Z click c-1
            2026-05-02T10:00:00Z purchase c-1 {"amount": 15}
            """,
            "2026-06-01T00:00:00Z",
            """
            2026-05-01T10:00:00.000Z enter lead c-1 event
            2026-05-02T10:00:00.000Z exit lead c-1 event
            2026-05-02T10:00:00.000Z enter buyer c-1 event
            """,
        ),
    ),
    Worked(
        "The next step by reaction",
        "R38",
        "After a message two branches: a click is a reaction; a day without one is not. Which message was answered is "
        "told by its id.",
        Example(
            "Reacted, ignored",
            """
            segment: reacted
            when:
              sequence:
                steps: [{event: message_sent}, {event: message_clicked, within: P1D}]
                match: message_id
                within: P7D
            ---
            segment: ignored
            when:
              missed: {after: message_sent, expect: message_clicked, within: P1D, match: message_id, for: P7D}
            """,
            """
            2026-05-01T10:00:00Z message_sent a {"message_id": "m1"}
            2026-05-01T10:00:00Z message_sent b {"message_id": "m2"}
            2026-05-01T12:00:00Z message_clicked a {"message_id": "m1"}
            2026-05-01T12:00:00Z message_clicked b {"message_id": "m0"}
            """,
            "2026-05-05T00:00:00Z",
            """
            2026-05-01T12:00:00.000Z enter reacted a event
            2026-05-02T10:00:00.000Z enter ignored b clock
            """,
        ),
    ),
    Worked(
        "Branches by balance",
        "R39",
        "An abandoned cart is answered by the bonus balance: with 500 points or more, offer to pay with them; with "
        "fewer, offer to earn some. A purchase ends both at once (R40).",
        Example(
            "Abandoned cart, two branches",
            """
            segment: cart-left
            topic: false
            when:
              missed: {after: cart_add, expect: purchase, within: PT2H, for: P3D}
            ---
            segment: pay-with-points
            payload: [name, bonus]
            when: {all: [{in_segment: cart-left}, {profile: {bonus: {gte: 500}}}]}
            ---
            segment: earn-points
            when: {all: [{in_segment: cart-left}, {profile: {bonus: {lt: 500}}}]}
            """,
            """
            2026-05-01T09:00:00Z contact_updated rich {"name": "Anna", "bonus": 740}
            2026-05-01T09:00:00Z contact_updated new {"name": "Oleg", "bonus": 40}
            2026-05-01T10:00:00Z cart_add rich
            2026-05-01T11:00:00Z cart_add new
            2026-05-01T15:00:00Z purchase new {"amount": 30}
            """,
            "2026-05-02T00:00:00Z",
            """
            2026-05-01T12:00:00.000Z enter cart-left rich clock
            2026-05-01T12:00:00.000Z enter pay-with-points rich clock
            2026-05-01T13:00:00.000Z enter cart-left new clock
            2026-05-01T13:00:00.000Z enter earn-points new clock
            2026-05-01T15:00:00.000Z exit cart-left new event
            2026-05-01T15:00:00.000Z exit earn-points new event
            """,
        ),
    ),
)
