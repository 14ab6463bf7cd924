"""Generates short reviews with a title, a sentiment label and a number of stars.

Example record, of which `--task` picks fields:

    {"id": "reviews-000003", "title": "About this kettle", "label": "positive", "stars": "4",
     "review": "The handle was firm, and the colour was anything but ugly. My one complaint is that
     the delivery was slow."}

`--task sentiment` writes one to three sentences as `text` with their `label`. In three of four,
opinion words mean what they say; in the fourth they are denied, or the lesser half of a contrast. A
held-out row reviews things, and says things about them, that no ordinary row does.
"""

from collections.abc import Iterator
from functools import partial
from random import Random

from data.generators import common
from data.generators.common import Generate, Row
from data.generators.review_domains import DOMAINS, Domain

LABELS = ("negative", "positive")
NUM_STARS = 5

AFFIRMED = common.phrases(
    """{part} was {word}; {part} was very {word}; {part} was really {word}; I found {part} {word}
    {part} was as {word} as can be"""
)
NEGATED = common.phrases(
    """{part} was not {word} at all; {part} was far from {word}; {part} was anything but {word}
    nobody could call {part} {word}; {part} was by no means {word}"""
)
HEARD_TRUE = common.phrases(
    """I had heard that {part} was {word}, and it was true
    Everybody told me that {part} was {word}, and they were right"""
)
HEARD_FALSE = common.phrases(
    """I had heard that {part} was {word}, but it was not true
    Everybody told me that {part} was {word}, but they were wrong"""
)
# In all of these the main clause decides, whether it praises or complains.
CONTRASTS = common.phrases(
    """{other}, but {main}, and that counts more
    Although {other}, what matters to me is that {main}
    {main}, and that is more important than the fact that {other}
    {main}, even if {other}
    It is true that {other}, but above all {main}"""
)
MADE_UP = (
    "The {good} was not enough to make up for the {bad}",
    "The {good} was enough to make up for the {bad}",
)
SMALL_PRAISE = common.phrases(
    "At least {side}; The one good thing is that {side}; It is a small thing, but {side}"
)
SMALL_COMPLAINT = common.phrases(
    """My one complaint is that {side}; The only problem is that {side}
    It is a small thing, but {side}"""
)
JUDGEMENTS = (
    common.phrases(
        """I hate {this}; I dislike {this}; what a terrible {item}; {this} is awful; {this} is bad
        we are very unhappy with {this}; I regret that I chose {this}; what a bad {item}
        {this} was a great disappointment; I am angry about {this}; {this} was a mistake
        this is the worst {item} that I know; I feel sad about {this}; {this} is horrible
        I am so disappointed with {this}; {this} was a disaster; {this} is poor"""
    ),
    common.phrases(
        """I love {this}; I like {this} a lot; what a wonderful {item}; {this} is great
        {this} is good; we are very happy with {this}; I am glad that I chose {this}
        what a good {item}; {this} was a nice surprise; I am delighted with {this}
        {this} was a joy; this is the best {item} that I know; I feel happy about {this}
        {this} is excellent; I am so pleased with {this}; {this} was a pleasure; {this} is fine"""
    ),
)
PAIRS = ("{first}, and {second}", "{first}. Besides, {second}", "{first}. What is more, {second}")
NEUTRAL_TITLES = common.phrases("This {item}; About this {item}; My view of this {item}")
TITLES = (
    common.phrases("Terrible {item}; The worst {item} so far; Avoid this {item}"),
    common.phrases("Poor {item}; Not a good {item}; Hardly anything to like"),
    common.phrases("Average {item}; Just another {item}; Good and bad sides"),
    common.phrases("Good {item}; Not a bad {item}; Hardly anything to complain about"),
    common.phrases("Wonderful {item}; The best {item} so far; Do not miss this {item}"),
)
SHARE_OPENING = 0.5
SHARE_VERDICT = 0.7
SHARE_NEGATED = 0.5
SHARE_MADE_UP = 0.25
SHARE_HARD = 0.25


def _upper_first(text: str) -> str:
    return text[0].upper() + text[1:]


class _Review:
    """The fragments drawn for one review."""

    def __init__(self, rng: Random, heldout: bool) -> None:
        self.rng = rng
        self.heldout = heldout
        self.domain: Domain = common.pick(rng, DOMAINS)
        self.item = common.pick(rng, common.side(self.domain.items, heldout))
        self.aspects = list(self.domain.aspects)

    def words(self, positive: bool) -> tuple[str, str]:
        """Draws a part that is not yet mentioned and a good or bad word for it."""
        part, _, pairs = common.pick(self.rng, self.aspects).partition(": ")
        return part, common.pick(self.rng, pairs.split(", ")).split("/")[0 if positive else 1]

    def mention(self, *parts: str) -> None:
        """Leaves parts out of later draws, so that a review cannot contradict itself."""
        self.aspects = [text for text in self.aspects if text.partition(": ")[0] not in parts]

    def clause(
        self,
        positive: bool,
        affirmed: tuple[str, ...] = AFFIRMED,
        negated: tuple[str, ...] = NEGATED,
    ) -> str:
        """Says something good or bad; half the time by denying the opposite."""
        deny = self.rng.random() < SHARE_NEGATED
        return self.said(positive, negated if deny else affirmed, deny)

    def said(self, positive: bool, forms: tuple[str, ...], deny: bool = False) -> str:
        """Says something good or bad of a part, by denying the opposite if so asked."""
        while True:
            form = common.pick(self.rng, forms)
            part, word = self.words(positive != deny)
            if common.is_heldout(part, word, form) == self.heldout:
                self.mention(part)
                return form.format(part=part, word=word)

    def denial(self, positive: bool) -> str:
        """Denies something bad or good."""
        return self.said(positive, NEGATED, deny=True)

    def outspoken(self, positive: bool, opened: bool) -> list[str]:
        """Says once or twice, in opinion words that mean what they say, what one thinks."""
        num_stars = common.pick(self.rng, (4, 5) if positive else (1, 2))
        chosen = common.pick(self.rng, ((1,), (0, 1), (1, 0), (1, 2), (0,)))
        this = "it" if opened and chosen[0] == 0 else f"this {self.item}"
        sentences = (
            common.pick(self.rng, JUDGEMENTS[positive]).format(this=this, item=self.item),
            self.said(positive, AFFIRMED),
            common.pick(self.rng, self.domain.verdicts[num_stars - 1]),
        )
        return [sentences[number] for number in chosen]

    def heard(self, positive: bool) -> str:
        """Says that what people tell is true, or that it is not."""
        return self.clause(positive, HEARD_TRUE, HEARD_FALSE)

    def pair(self, positive: bool) -> str:
        """Says two things of the same kind."""
        frame = common.pick(self.rng, PAIRS)
        return frame.format(first=self.clause(positive), second=self.clause(positive))

    def contrast(self, positive: bool) -> str:
        """Says one good and one bad thing, of which the given kind outweighs the other."""
        if self.rng.random() < SHARE_MADE_UP:
            return self.made_up(positive)
        frame = common.pick(self.rng, CONTRASTS)
        return frame.format(main=self.clause(positive), other=self.clause(not positive))

    def made_up(self, positive: bool) -> str:
        """Says whether the good part made up for the bad part."""
        while True:
            good, bad = self.words(True), self.words(False)
            if good[0] != bad[0] and common.is_heldout(*good, *bad) == self.heldout:
                self.mention(good[0], bad[0])
                good_text, bad_text = (
                    f"{word} {part.removeprefix('the ')}" for part, word in (good, bad)
                )
                return MADE_UP[positive].format(good=good_text, bad=bad_text)

    def side_note(self, positive: bool) -> str:
        """Adds one small good or bad thing."""
        frame = common.pick(self.rng, SMALL_PRAISE if positive else SMALL_COMPLAINT)
        return frame.format(side=self.clause(positive))

    def opening(self) -> str:
        return common.pick(self.rng, self.domain.openings).format(item=self.item)

    def title(self, num_stars: int) -> str:
        titles = NEUTRAL_TITLES if self.rng.random() < 0.5 else TITLES[num_stars - 1]
        return common.pick(self.rng, titles).format(item=self.item)


def _joined(sentences: list[str]) -> str:
    return " ".join(_upper_first(sentence) + "." for sentence in sentences)


def _rated(num_stars: int, positive: bool, rng: Random, heldout: bool) -> tuple[str, str]:
    """Draws the title and the text of a review with the given number of stars."""
    review = _Review(rng, heldout)
    sentences = [review.opening()] if rng.random() < SHARE_OPENING else []
    if num_stars == 3:
        sentences.append(review.contrast(positive))
    else:
        sentences.append(review.pair(positive))
    if num_stars in (2, 4):
        sentences.append(review.side_note(not positive))
    if rng.random() < SHARE_VERDICT:
        sentences.append(common.pick(rng, review.domain.verdicts[num_stars - 1]))
    return review.title(num_stars), _joined(sentences)


def _opinion(positive: bool, rng: Random, heldout: bool) -> str:
    """Draws one to three sentences of the given sentiment."""
    review = _Review(rng, heldout)
    sentences = [review.opening()] if rng.random() < SHARE_OPENING else []
    if rng.random() < SHARE_HARD:
        shape = common.pick(rng, (review.denial, review.heard, review.contrast, review.contrast))
        sentences.append(shape(positive))
    else:
        sentences += review.outspoken(positive, opened=bool(sentences))
    return _joined(sentences)


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates full reviews; one to five stars in turn.

    A review of three stars has a good and a bad side, and its label says which outweighs.

    Args:
        num_rows: How many rows.
        seed: The same seed gives the same rows.
        heldout: Draw from the things and opinions that ordinary rows never use.

    Yields:
        Records with `id`, `title`, `review`, `label` and `stars`.
    """
    rng = common.seeded("reviews", seed, heldout)
    # Ten rows hold every number of stars twice, and three stars once with either label.
    kinds = [(index % NUM_STARS + 1, index % 10 in (3, 4, 7, 8, 9)) for index in range(num_rows)]
    draws = (partial(_rated, stars, positive, rng, heldout) for stars, positive in kinds)
    for index, (title, text) in enumerate(common.drawn(draws, heldout)):
        stars, positive = kinds[index]
        yield {
            "id": f"reviews-{index:06d}",
            "title": title,
            "review": text,
            "label": LABELS[positive],
            "stars": str(stars),
        }


def generate_sentiment(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates opinions of one or two sentences: `id`, `text` and `label`, labels in turn."""
    rng = common.seeded("review-sentiment", seed, heldout)
    draws = (partial(_opinion, index % 2 == 0, rng, heldout) for index in range(num_rows))
    for index, text in enumerate(common.drawn(draws, heldout)):
        label = LABELS[index % 2 == 0]
        yield {"id": f"review-sentiment-{index:06d}", "text": text, "label": label}


def generate_rating(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates full reviews without their label: `id`, `title`, `review` and `stars`."""
    for row in generate(num_rows, seed, heldout):
        row.pop("label")
        yield row


TASKS: dict[str, Generate] = {
    "all": generate,
    "sentiment": generate_sentiment,
    "rating": generate_rating,
}


if __name__ == "__main__":
    parser = common.parser("reviews")
    parser.add_argument("--task", choices=TASKS, default="all", help="which fields to write")
    args = parser.parse_args()
    common.run(TASKS[args.task], args)
