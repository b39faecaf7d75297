"""The official VQA rule as one plain, slow loop, for comparison with the product.

It follows the structure of `vqaEval.py` (https://github.com/GT-Vision-Lab/VQA) step by step. The
table of contractions is copied from that file, including entries that can never apply.
"""

from __future__ import annotations

import re

MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+"]
MARKS += ["\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"]
NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4"}
NUMBERS |= {"five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
TABLE = """
aint ain't  arent aren't  cant can't  couldve could've  couldnt couldn't
couldn'tve couldn't've  couldnt've couldn't've  didnt didn't  doesnt doesn't  dont don't
hadnt hadn't  hadnt've hadn't've  hadn'tve hadn't've  hasnt hasn't  havent haven't  hed he'd
hed've he'd've  he'dve he'd've  hes he's  howd how'd  howll how'll  hows how's
Id've I'd've  I'dve I'd've  Im I'm  Ive I've  isnt isn't  itd it'd  itd've it'd've
it'dve it'd've  itll it'll  let's let's  maam ma'am  mightnt mightn't  mightnt've mightn't've
mightn'tve mightn't've  mightve might've  mustnt mustn't  mustve must've  neednt needn't
notve not've  oclock o'clock  oughtnt oughtn't  ow's'at 'ow's'at  'ows'at 'ow's'at
'ow'sat 'ow's'at  shant shan't  shed've she'd've  she'dve she'd've  she's she's
shouldve should've  shouldnt shouldn't  shouldnt've shouldn't've  shouldn'tve shouldn't've
somebody'd somebodyd  somebodyd've somebody'd've  somebody'dve somebody'd've
somebodyll somebody'll  somebodys somebody's  someoned someone'd  someoned've someone'd've
someone'dve someone'd've  someonell someone'll  someones someone's  somethingd something'd
somethingd've something'd've  something'dve something'd've  somethingll something'll
thats that's  thered there'd  thered've there'd've  there'dve there'd've  therere there're
theres there's  theyd they'd  theyd've they'd've  they'dve they'd've  theyll they'll
theyre they're  theyve they've  twas 'twas  wasnt wasn't  wed've we'd've  we'dve we'd've
weve we've  werent weren't  whatll what'll  whatre what're  whats what's  whatve what've
whens when's  whered where'd  wheres where's  whereve where've  whod who'd  whod've who'd've
who'dve who'd've  wholl who'll  whos who's  whove who've  whyll why'll  whyre why're
whys why's  wont won't  wouldve would've  wouldnt wouldn't  wouldnt've wouldn't've
wouldn'tve wouldn't've  yall y'all  yall'll y'all'll  y'allll y'all'll  yall'd've y'all'd've
y'alld've y'all'd've  y'all'dve y'all'd've  youd you'd  youd've you'd've  you'dve you'd've
youll you'll  youre you're  youve you've
"""
PAIRS = TABLE.split()
CONTRACTIONS = dict(zip(PAIRS[::2], PAIRS[1::2], strict=True))


def trim(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def process_punctuation(text: str) -> str:
    out = text
    for mark in MARKS:
        next_to_space = mark + " " in text or " " + mark in text
        if next_to_space or re.search(r"(\d)(\,)(\d)", text) is not None:
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    # The official call passes the flag in the position of the count.
    return re.compile(r"(?!<=\d)(\.)(?!\d)").sub("", out, int(re.UNICODE))


def process_digits_and_articles(text: str) -> str:
    out = []
    for word in text.lower().split():
        word = NUMBERS.get(word, word)
        if word not in ["a", "an", "the"]:
            out.append(word)
    for place, word in enumerate(out):
        if word in CONTRACTIONS:
            out[place] = CONTRACTIONS[word]
    return " ".join(out)


def process(text: str) -> str:
    return process_digits_and_articles(process_punctuation(trim(text)))


def accuracy(answer: str, humans: list[str]) -> float:
    answer, humans = trim(answer), [trim(human) for human in humans]
    if len(set(humans)) > 1:
        humans = [process_digits_and_articles(process_punctuation(human)) for human in humans]
        answer = process_digits_and_articles(process_punctuation(answer))
    found = []
    for left_out in range(len(humans)):
        others = [human for place, human in enumerate(humans) if place != left_out]
        matching = [human for human in others if human == answer]
        found.append(min(1, float(len(matching)) / 3))
    return float(sum(found)) / len(found)
