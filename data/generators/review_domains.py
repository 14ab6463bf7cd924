"""What the generated reviews are about: things, their parts, and opposite words for each part.

Example aspect: "the room: clean/dirty, large/small" reads "the room was clean" (good) and
"the room was dirty" (bad). Every part is singular, so that every sentence can say "was".
"""

from dataclasses import dataclass

from data.generators.common import phrases

Verdicts = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Domain:
    """One kind of thing that people review.

    Attributes:
        items: What is reviewed, such as "hotel".
        openings: Neutral first sentences, with `{item}`.
        verdicts: Last sentences, one tuple for each number of stars from 1 to 5.
        aspects: The parts, each as "part: good/bad, good/bad".
    """

    items: tuple[str, ...]
    openings: tuple[str, ...]
    verdicts: Verdicts
    aspects: tuple[str, ...]


OF_A_VISIT: Verdicts = (
    phrases("I will never come back; It was a wasted day; I want my money back"),
    phrases("I would rather go somewhere else; I do not plan to return; I expected more"),
    phrases("All in all it was average; It was neither good nor bad; It was just about all right"),
    phrases("I would come back; I plan to return; I can recommend it"),
    phrases("I will come back every year; It was a perfect day; It was worth every cent"),
)
OF_A_THING: Verdicts = (
    phrases("I want my money back; I threw it away; Never again"),
    phrases("I would rather buy another one; I would not buy it again; I expected more"),
    phrases("All in all it is average; It is neither good nor bad; It is just about all right"),
    phrases("I would buy it again; I can recommend it; I am content with it"),
    phrases("I use it every day and love it; It is perfect; It is worth every cent"),
)
OF_A_STORY: Verdicts = (
    phrases("It was a waste of time; I gave up halfway; I want those hours back"),
    phrases("I would not choose it again; I expected more; I would rather pick another one"),
    phrases("All in all it was average; It was neither good nor bad; It was just about all right"),
    phrases("I can recommend it; I would like more like it; I am glad I chose it"),
    phrases("I will never forget it; It was perfect; I want to start again at once"),
)

DOMAINS = (
    Domain(
        items=phrases(
            """hotel; guest house; hostel; campsite; holiday flat; lodge; resort; cabin; cottage
            farm house"""
        ),
        openings=phrases(
            """We stayed at this {item} for two nights; I spent a weekend at this {item}
            A friend booked this {item} for us; I came to this {item} with my family
            We were at this {item} last spring; My sister and I chose this {item}"""
        ),
        verdicts=OF_A_VISIT,
        aspects=phrases(
            """the room: clean/dirty, large/small, quiet/noisy, bright/dark, warm/cold
            the bed: comfortable/uncomfortable, wide/narrow, clean/dirty
            the breakfast: fresh/stale, tasty/bland
            the host: friendly/rude, helpful/unhelpful, polite/grumpy
            the bathroom: clean/dirty, modern/shabby, large/small
            the view: lovely/ugly, special/dull
            the pool: clean/dirty, warm/cold, quiet/crowded
            the street: quiet/noisy, safe/dangerous
            the price: fair/unfair, low/high"""
        ),
    ),
    Domain(
        items=phrases(
            """restaurant; cafe; pizza place; canteen; snack bar; steak house; tea room; noodle bar
            fish restaurant; bakery"""
        ),
        openings=phrases(
            """We had lunch at this {item}; I went to this {item} on my birthday
            My brother took me to this {item}; We tried this {item} last week
            I ate at this {item} after work; Four of us met at this {item}"""
        ),
        verdicts=OF_A_VISIT,
        aspects=phrases(
            """the soup: hot/cold, tasty/bland, fresh/stale
            the waiter: friendly/rude, quick/slow, polite/grumpy
            the bread: fresh/stale, soft/dry
            the table: clean/dirty, large/small, steady/shaky
            the dessert: tasty/bland, light/greasy
            the menu: clear/confusing, long/short
            the music: soft/loud, pleasant/unpleasant
            the coffee: strong/weak, hot/cold
            the bill: correct/wrong, low/high"""
        ),
    ),
    Domain(
        items=phrases(
            """bus tour; boat trip; train ride; city tour; balloon ride; ferry trip; coach tour
            river cruise; safari; sleigh ride"""
        ),
        openings=phrases(
            """I booked this {item} in spring; We chose this {item} for our day off
            My cousin gave me this {item} as a present; I was on this {item} with two friends
            We did this {item} on Sunday; I picked this {item} from a list"""
        ),
        verdicts=OF_A_VISIT,
        aspects=phrases(
            """the guide: friendly/rude, lively/boring, helpful/unhelpful
            the start: punctual/late, smooth/messy
            the group: small/huge, friendly/rude
            the seat: comfortable/uncomfortable, clean/dirty
            the plan: clear/confusing, relaxed/hectic
            the snack: fresh/stale, tasty/bland
            the ticket: cheap/expensive
            the break: long/short, pleasant/unpleasant"""
        ),
    ),
    Domain(
        items=phrases(
            """phone; laptop; camera; tablet; digital radio; television; smart watch; game console
            e-book reader; music player"""
        ),
        openings=phrases(
            """I bought this {item} a month ago; We have had this {item} for a year
            My parents gave me this {item}; I use this {item} at work
            I ordered this {item} online; This {item} came in a plain box"""
        ),
        verdicts=OF_A_THING,
        aspects=phrases(
            """the screen: clear/blurry, bright/dim, large/small
            the sound: clear/muffled, rich/thin
            the battery: strong/weak, reliable/unreliable
            the case: sturdy/flimsy, light/heavy
            the menu: simple/confusing, quick/slow
            the cable: long/short, sturdy/flimsy
            the manual: helpful/useless, clear/confusing
            the delivery: quick/slow, punctual/late
            the price: fair/unfair, low/high"""
        ),
    ),
    Domain(
        items=phrases(
            """kettle; toaster; basket; drill; pan; blender; coffee machine; lunch box; torch
            vacuum cleaner; backpack; suitcase; umbrella; hair dryer; saw"""
        ),
        openings=phrases(
            """I bought this {item} in a sale; We got this {item} for our new flat
            My aunt gave me this {item}; I have used this {item} for six weeks
            I ordered this {item} online; I chose this {item} for my son"""
        ),
        verdicts=OF_A_THING,
        aspects=phrases(
            """the handle: firm/loose, comfortable/uncomfortable
            the colour: lovely/ugly, bright/dull
            the material: sturdy/flimsy, soft/rough
            the finish: neat/sloppy, smooth/rough
            the smell: pleasant/unpleasant
            the weight: light/heavy
            the label: clear/confusing
            the delivery: quick/slow, punctual/late
            the seller: friendly/rude, honest/dishonest
            the price: fair/unfair, low/high"""
        ),
    ),
    Domain(
        items=phrases(
            """book; film; play; novel; series; audio book; musical; comic; documentary
            crime story"""
        ),
        openings=phrases(
            """I chose this {item} for the weekend; A friend told me about this {item}
            My teacher named this {item} in class; We picked this {item} for our club
            I found this {item} by chance; I had waited a year for this {item}"""
        ),
        verdicts=OF_A_STORY,
        aspects=phrases(
            """the plot: exciting/boring, clear/confusing, clever/silly
            the hero: likeable/annoying, believable/unbelievable
            the ending: surprising/predictable, happy/gloomy, strong/weak
            the beginning: quick/slow, exciting/boring
            the humour: clever/silly, fresh/stale
            the language: simple/clumsy, lively/dull
            the villain: frightening/ridiculous, believable/unbelievable
            the mood: warm/cold, special/dull
            the title: clever/silly, clear/confusing"""
        ),
    ),
)
