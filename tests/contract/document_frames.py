"""Phase 3 of the API document: frames studio."""

from __future__ import annotations

from tests.contract.contract_types import CALLBACK, ONE_VIDEO, VIDEO, Answer, Endpoint, Param

FOLDER = Param("folder", "string", required=True, location="path")
FRAME = Param("frame", "string", required=True, location="path")

EXTRACT_FRAMES = Endpoint(
    phase=3,
    method="POST",
    path="/frames/extract",
    name="extract_frames",
    params=(*VIDEO, Param("extraction_rate", "integer", default=1), CALLBACK),
    one_of=ONE_VIDEO,
    examples=({"video_url": "https://example.com/video.mp4", "extraction_rate": 2},),
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("folder_name", "string"),
        Answer("frame_count", "integer"),
        Answer("frames_path", "string"),
    ),
    response={
        "success": True,
        "message": "Successfully extracted 67 frames",
        "folder_name": "video_extracted_every_2_241204_143522",
        "frame_count": 67,
        "frames_path": (
            "/outputs/postprocessed_output/frames/extracted_frames/video_extracted_every_2_241204_143522"
        ),
    },
    callback="extract_frames",
)

LIST_FRAME_FOLDERS = Endpoint(
    phase=3,
    method="GET",
    path="/frames/folders",
    name="list_frame_folders",
    answers=(
        Answer("success", "boolean"),
        Answer("folders", "array"),
        Answer("folders[]", "string"),
        Answer("message", "string"),
    ),
    response={
        "success": True,
        "folders": ["video1_extracted_every_1_241204_140000", "video2_extracted_every_2_241204_141500"],
        "message": "Found 2 extracted frame folder(s)",
    },
)

LIST_FRAMES = Endpoint(
    phase=3,
    method="GET",
    path="/frames/{folder}",
    name="list_frames",
    params=(FOLDER,),
    sample={"folder": "video_extracted_every_1_241204_140000"},
    answers=(
        Answer("success", "boolean"),
        Answer("folder", "string"),
        Answer("frames", "array"),
        Answer("frames[]", "object"),
        Answer("frames[].filename", "string"),
        Answer("frames[].path", "string"),
        Answer("frames[].index", "integer"),
        Answer("total_count", "integer"),
        Answer("message", "string"),
    ),
    response={
        "success": True,
        "folder": "video_extracted_every_1_241204_140000",
        "frames": [
            {"filename": "frame_000000.png", "path": "/full/path/frame_000000.png", "index": 0},
            {"filename": "frame_000001.png", "path": "/full/path/frame_000001.png", "index": 1},
            {"filename": "frame_000002.png", "path": "/full/path/frame_000002.png", "index": 2},
        ],
        "total_count": 135,
        "message": "Found 135 frame(s) in folder",
    },
)

DELETE_FRAME_FOLDER = Endpoint(
    phase=3,
    method="DELETE",
    path="/frames/{folder}",
    name="delete_frame_folder",
    params=(FOLDER,),
    sample={"folder": "video_extracted_every_1_241204_140000"},
    answers=(Answer("success", "boolean"), Answer("folder", "string"), Answer("message", "string")),
    response={
        "success": True,
        "folder": "video_extracted_every_1_241204_140000",
        "message": "Successfully deleted folder and all its contents",
    },
)

DELETE_FRAME = Endpoint(
    phase=3,
    method="DELETE",
    path="/frames/{folder}/{frame}",
    name="delete_frame",
    params=(FOLDER, FRAME),
    sample={"folder": "video_extracted_every_1_241204_140000", "frame": "frame_000042.png"},
    answers=(
        Answer("success", "boolean"),
        Answer("folder", "string"),
        Answer("frame", "string"),
        Answer("message", "string"),
    ),
    response={
        "success": True,
        "folder": "video_extracted_every_1_241204_140000",
        "frame": "frame_000042.png",
        "message": "Successfully deleted frame 'frame_000042.png'",
    },
)

SAVE_FRAME = Endpoint(
    phase=3,
    method="POST",
    path="/frames/{folder}/save/{frame}",
    name="save_frame",
    params=(FOLDER, FRAME),
    sample={"folder": "video_extracted_every_1_241204_140000", "frame": "frame_000042.png"},
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("saved_path", "string"),
        Answer("frame_base64", "string"),
    ),
    response={
        "success": True,
        "message": "Successfully saved frame 'frame_000042.png'",
        "saved_path": ("/outputs/postprocessed_output/saved_videos/saved_frame_video_241204_143522_frame_000042.png"),
        "frame_base64": "iVBORw0KGgoAAAANSUhEUg...",
    },
)

REASSEMBLE_FRAMES = Endpoint(
    phase=3,
    method="POST",
    path="/frames/reassemble",
    name="reassemble_frames",
    params=(
        Param("folder_name", "string", required=True),
        Param("output_fps", "integer", default=30),
        Param("output_name", "string", default=None),
        CALLBACK,
    ),
    examples=(
        {"folder_name": "video_extracted_every_1_241204_140000", "output_fps": 24, "output_name": "edited_video"},
    ),
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("output_video_base64", "string"),
        Answer("output_path", "string"),
    ),
    response={
        "success": True,
        "message": "Frames reassembled successfully",
        "output_video_base64": "AAAAIGZ0eXBpc29t...",
        "output_path": (
            "/outputs/postprocessed_output/frames/reassembled_videos/edited_video_24fps_reassembled_241204_144000.mp4"
        ),
    },
    callback="reassemble_frames",
)

FRAMES_ENDPOINTS = (
    EXTRACT_FRAMES,
    LIST_FRAME_FOLDERS,
    LIST_FRAMES,
    DELETE_FRAME_FOLDER,
    DELETE_FRAME,
    SAVE_FRAME,
    REASSEMBLE_FRAMES,
)
