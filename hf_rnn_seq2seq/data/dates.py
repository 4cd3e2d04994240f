"""The built-in corpus: English dates and times in many written forms and their German full form."""

import datetime
import random
from collections.abc import Iterator

# day, month, year in the forms people write them; `%o` stands for the ordinal day, as in "3rd"
_ENGLISH_DATES = [
    "MMM d, yyyy",
    "MMMM d, yyyy",
    "MMMM %o, yyyy",
    "MMMM %o yyyy",
    "d MMM yyyy",
    "d MMMM yyyy",
    "%o MMMM yyyy",
    "'the' %o 'of' MMMM yyyy",
    "%o 'of' MMM, yyyy",
    "MMM d yyyy",
    "M/d/yyyy",
    "MM/dd/yyyy",
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "d-MMM-yyyy",
    "yyyy MMM dd",
]
_ENGLISH_TIMES = ["h:mm a", "h:mm:ss a", "HH:mm", "HH:mm:ss", "h:mma", "'at' h:mm a", "'at' HH:mm"]
_GERMAN_DATE = "d. MMMM yyyy"
_GERMAN_TIME = "HH:mm 'Uhr'"
_GERMAN_TIME_WITH_SECONDS = "HH:mm:ss 'Uhr'"

_FIRST_DAY = datetime.date(1950, 1, 1)
_NUM_DAYS = 36525  # to the end of 2049
# of every 20 days in a seeded order: 18 for training, 1 for validation, 1 for testing
_SPLITS = {"train": range(0, 18), "validation": range(18, 19), "test": range(19, 20)}


def generate_dates(split: str, size: int, *, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Pairs such as `("Mon 3rd of Feb, 2025 at 2:05 pm", "Montag, 3. Februar 2025, 14:05 Uhr")`.

    No day of the calendar stands in two splits. The same arguments give the same pairs.

    Args:
        split (`str`): `"train"`, `"validation"` or `"test"`.
        size (`int`): number of pairs.
        seed (`int`): of the split of the calendar and of the written forms.

    Raises:
        ValueError: if `split` is unknown.
    """
    # Babel costs a moment to import, and only this corpus needs it
    from babel.dates import format_date, format_time

    if split not in _SPLITS:
        raise ValueError(f"`split` of the built-in corpus must be one of {', '.join(_SPLITS)}, got {split!r}.")
    days = list(range(_NUM_DAYS))
    random.Random(seed).shuffle(days)
    days = [day for place, day in enumerate(days) if place % 20 in _SPLITS[split]]
    rng = random.Random(f"{seed}/{split}")
    for _ in range(size):
        day = _FIRST_DAY + datetime.timedelta(days=rng.choice(days))
        ordinal = f"'{day.day}{_ordinal_suffix(day.day)}'"
        english = format_date(day, rng.choice(_ENGLISH_DATES).replace("%o", ordinal), locale="en")
        german = format_date(day, _GERMAN_DATE, locale="de")
        if rng.random() < 0.4:
            weekday = rng.choice(["EEE", "EEEE"])
            english = f"{format_date(day, weekday, locale='en')}{rng.choice([' ', ', '])}{english}"
            german = f"{format_date(day, 'EEEE', locale='de')}, {german}"
        if rng.random() < 0.5:
            time = datetime.time(rng.randrange(24), rng.randrange(60), rng.randrange(60))
            form = rng.choice(_ENGLISH_TIMES)
            german_form = _GERMAN_TIME_WITH_SECONDS if "ss" in form else _GERMAN_TIME
            spelled = format_time(time, form, locale="en")
            spelled = spelled.lower() if rng.random() < 0.5 else spelled
            english = f"{english}{rng.choice([' ', ', '])}{spelled}"
            german = f"{german}, {format_time(time, german_form, locale='de')}"
        casing = rng.random()
        if casing < 0.15:
            english = english.lower()
        elif casing < 0.25:
            english = english.upper()
        yield english, german


def _ordinal_suffix(day: int) -> str:
    if 11 <= day <= 13:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
