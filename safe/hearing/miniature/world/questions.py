"""Public names of the modules on questions, captions and answers of the miniature world."""

from safe.hearing.miniature.world.balance import (
    GQA_WEIGHTS,
    VIDEO_WEIGHTS,
    VQA_WEIGHTS,
    Balancer,
    annotators,
)
from safe.hearing.miniature.world.captions import captions
from safe.hearing.miniature.world.hearing import audiovisual_questions, draw_video, sound_questions
from safe.hearing.miniature.world.pictures import (
    gqa_questions,
    picture_questions,
    video_picture_questions,
)
from safe.hearing.miniature.world.words import CAPTION_PROMPT, VOCABULARY, Question, words

__all__ = [
    "CAPTION_PROMPT",
    "GQA_WEIGHTS",
    "VIDEO_WEIGHTS",
    "VOCABULARY",
    "VQA_WEIGHTS",
    "Balancer",
    "Question",
    "annotators",
    "audiovisual_questions",
    "captions",
    "draw_video",
    "gqa_questions",
    "picture_questions",
    "sound_questions",
    "video_picture_questions",
    "words",
]
