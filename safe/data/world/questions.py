"""Questions, captions and answers of the miniature world: what other modules import."""

from safe.data.world.balance import (
    GQA_WEIGHTS,
    VIDEO_WEIGHTS,
    VQA_WEIGHTS,
    Balancer,
    annotators,
)
from safe.data.world.captions import captions
from safe.data.world.hearing import audiovisual_questions, draw_video, sound_questions
from safe.data.world.pictures import gqa_questions, picture_questions, video_picture_questions
from safe.data.world.words import CAPTION_PROMPT, VOCABULARY, Question, words

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
