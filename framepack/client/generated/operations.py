"""The methods of the blocking client.

Generated from the code by `python -m tools.docs`; do not edit.
"""

from __future__ import annotations

from typing import Unpack

from framepack.client.generated import answers, requests, routes
from framepack.client.jobs import Job
from framepack.client.runner import SyncRunner, SyncSubmitter


class Operations(SyncRunner):
    """The operations; each waits and returns its result."""

    def ai_status(self) -> answers.AiStatusResponse:
        """Check which AI models are loaded in memory."""
        return self._run(routes.AI_STATUS, answers.AiStatusResponse, {})

    def unload_ai_models(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.UnloadAiModelsFields]
    ) -> answers.UnloadAiModelsResponse:
        """Unload AI models from memory to free up VRAM and RAM.

        Fields: model.
        """
        return self._run(routes.UNLOAD_AI_MODELS, answers.UnloadAiModelsResponse, fields, idempotency_key)

    def caption_image(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.CaptionImageFields]
    ) -> answers.CaptionImageResponse:
        """Generate a descriptive caption from an image.

        Fields: image, callback_url, callback_token.
        """
        return self._run(routes.CAPTION_IMAGE, answers.CaptionImageResponse, fields, idempotency_key)

    def enhance_prompt(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.EnhancePromptFields]
    ) -> answers.EnhancePromptResponse:
        """Enhance a simple prompt into a detailed, cinematic video prompt.

        Fields: prompt, seed, callback_url, callback_token.
        """
        return self._run(routes.ENHANCE_PROMPT, answers.EnhancePromptResponse, fields, idempotency_key)

    def list_filter_presets(self) -> answers.FilterPresetsResponse:
        """List all filter presets, built-in and saved."""
        return self._run(routes.LIST_FILTER_PRESETS, answers.FilterPresetsResponse, {})

    def save_filter_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SaveFilterPresetFields]
    ) -> answers.FilterPresetAnswer:
        """Save a filter preset, or replace the preset of that name.

        Fields: name, settings.
        """
        return self._run(routes.SAVE_FILTER_PRESET, answers.FilterPresetAnswer, fields, idempotency_key)

    def delete_filter_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.DeleteFilterPresetFields]
    ) -> answers.FilterPresetAnswer:
        """Delete a saved filter preset. If it replaced a built-in preset, the built-in one applies again.

        Fields: name.
        """
        return self._run(routes.DELETE_FILTER_PRESET, answers.FilterPresetAnswer, fields, idempotency_key)

    def extract_frames(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ExtractFramesFields]
    ) -> answers.ExtractResponse:
        """Extract every Nth frame of a video as PNG files into a folder.

        Fields: video, extraction_rate, keep_alpha, callback_url, callback_token.
        """
        return self._run(routes.EXTRACT_FRAMES, answers.ExtractResponse, fields, idempotency_key)

    def list_frame_folders(self) -> answers.FoldersResponse:
        """List all extracted frame folders."""
        return self._run(routes.LIST_FRAME_FOLDERS, answers.FoldersResponse, {})

    def reassemble_frames(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ReassembleFramesFields]
    ) -> answers.VideoResult:
        """Reassemble the images of a folder into a video.

        Fields: folder_name, output_fps, output_name, with_audio, callback_url, callback_token.
        """
        return self._run(routes.REASSEMBLE_FRAMES, answers.VideoResult, fields, idempotency_key)

    def delete_frame_folder(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.DeleteFrameFolderFields]
    ) -> answers.DeleteFolderResponse:
        """Delete a folder with all its frames.

        Fields: folder.
        """
        return self._run(routes.DELETE_FRAME_FOLDER, answers.DeleteFolderResponse, fields, idempotency_key)

    def list_frames(self, **fields: Unpack[requests.ListFramesFields]) -> answers.FramesResponse:
        """List all frames in a folder.

        Fields: folder, with_urls.
        """
        return self._run(routes.LIST_FRAMES, answers.FramesResponse, fields)

    def save_frame(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SaveFrameFields]
    ) -> answers.SaveFrameResult:
        """Save one frame, byte for byte, to permanent storage.

        Fields: folder, frame.
        """
        return self._run(routes.SAVE_FRAME, answers.SaveFrameResult, fields, idempotency_key)

    def delete_frame(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.DeleteFrameFields]
    ) -> answers.DeleteFrameResponse:
        """Delete one frame; the others keep their names.

        Fields: folder, frame.
        """
        return self._run(routes.DELETE_FRAME, answers.DeleteFrameResponse, fields, idempotency_key)

    def get_frame(self, **fields: Unpack[requests.GetFrameFields]) -> answers.FrameResult:
        """Get one frame as an image.

        Fields: folder, frame.
        """
        return self._run(routes.GET_FRAME, answers.FrameResult, fields)

    def put_frame(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PutFrameFields]
    ) -> answers.PutFrameResult:
        """Replace a frame by an image, or add one. It keeps its bytes if it has the format of the name.

        Fields: image, folder, frame.
        """
        return self._run(routes.PUT_FRAME, answers.PutFrameResult, fields, idempotency_key)

    def model_status(self) -> answers.ModelStatusResponse:
        """Get the status of the main video model."""
        return self._run(routes.MODEL_STATUS, answers.ModelStatusResponse, {})

    def unload_model(self, *, idempotency_key: str | None = None) -> answers.UnloadModelResponse:
        """Unload the main video model to free VRAM; the next job that needs it loads it again."""
        return self._run(routes.UNLOAD_MODEL, answers.UnloadModelResponse, {}, idempotency_key)

    def analyze(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.AnalyzeFields]
    ) -> answers.AnalyzeResponse:
        """Analyze a video and get detailed metadata.

        Fields: video.
        """
        return self._run(routes.ANALYZE, answers.AnalyzeResponse, fields, idempotency_key)

    def get_autosave(self) -> answers.AutosaveResponse:
        """Get the current autosave setting."""
        return self._run(routes.GET_AUTOSAVE, answers.AutosaveResponse, {})

    def set_autosave(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SetAutosaveFields]
    ) -> answers.AutosaveResponse:
        """Set the autosave mode: when enabled, finished videos go to the folder of saved videos.

        Fields: enabled.
        """
        return self._run(routes.SET_AUTOSAVE, answers.AutosaveResponse, fields, idempotency_key)

    def batch(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.BatchFields]
    ) -> answers.BatchResponse:
        """Run the same operations on many videos, each on its own.

        Fields: videos, operations, callback_url, callback_token.
        """
        return self._run(routes.BATCH, answers.BatchResponse, fields, idempotency_key)

    def export(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ExportFields]
    ) -> answers.VideoResult:
        """Export a video to another format, with control over quality and size.

        Fields: video, format, quality, max_width, output_name, keep_alpha, callback_url, callback_token.
        """
        return self._run(routes.EXPORT, answers.VideoResult, fields, idempotency_key)

    def filters(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.FiltersFields]
    ) -> answers.VideoResult:
        """Apply visual filters or a filter preset to a video.

        Fields: video, brightness, contrast, saturation, temperature, sharpen, blur, denoise, vignette,
        s_curve_contrast, film_grain, preset, callback_url, callback_token.
        """
        return self._run(routes.FILTERS, answers.VideoResult, fields, idempotency_key)

    def interpolate(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.InterpolateFields]
    ) -> answers.VideoResult:
        """Interpolate frames to increase a video's frame rate, or to change its speed.

        Fields: video, fps_mode, speed_factor, use_streaming, callback_url, callback_token.
        """
        return self._run(routes.INTERPOLATE, answers.VideoResult, fields, idempotency_key)

    def join(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.JoinFields]
    ) -> answers.VideoResult:
        """Join several videos into one.

        Fields: videos, output_name, callback_url, callback_token.
        """
        return self._run(routes.JOIN, answers.VideoResult, fields, idempotency_key)

    def loop(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.LoopFields]
    ) -> answers.VideoResult:
        """Create a looped version of a video.

        Fields: video, loop_type, num_loops, callback_url, callback_token.
        """
        return self._run(routes.LOOP, answers.VideoResult, fields, idempotency_key)

    def list_models(self) -> answers.ListModelsResponse:
        """List all upscale models, including custom ones, and which weights are missing on this machine."""
        return self._run(routes.LIST_MODELS, answers.ListModelsResponse, {})

    def pipeline(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PipelineFields]
    ) -> answers.PipelineResult:
        """Run several operations on a video, decoding and encoding it once.

        Fields: video, operations, callback_url, callback_token.
        """
        return self._run(routes.PIPELINE, answers.PipelineResult, fields, idempotency_key)

    def pipeline_from_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PipelineFromPresetFields]
    ) -> answers.PipelineResult:
        """Run the steps of a saved workflow preset on a video.

        Fields: video, preset_name, callback_url, callback_token.
        """
        return self._run(routes.PIPELINE_FROM_PRESET, answers.PipelineResult, fields, idempotency_key)

    def preview(self, **fields: Unpack[requests.PreviewFields]) -> answers.PreviewResponse:
        """Preview operations on one frame or up to two seconds of a video, before and after, without storing anything.

        Fields: video, operations, at_seconds, seconds.
        """
        return self._run(routes.PREVIEW, answers.PreviewResponse, fields)

    def save_video(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SaveVideoFields]
    ) -> answers.SaveResult:
        """Save a video to permanent storage, byte for byte.

        Fields: video, custom_name.
        """
        return self._run(routes.SAVE_VIDEO, answers.SaveResult, fields, idempotency_key)

    def upscale(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.UpscaleFields]
    ) -> answers.VideoResult:
        """Upscale a video with a Real-ESRGAN model.

        Fields: video, model, scale_factor, tile_size, enhance_face, denoise_strength, use_streaming,
        callback_url, callback_token.
        """
        return self._run(routes.UPSCALE, answers.VideoResult, fields, idempotency_key)

    def clear_temp(self, *, idempotency_key: str | None = None) -> answers.ClearTempResponse:
        """Clear temporary files: results that were not saved, and what killed jobs left behind."""
        return self._run(routes.CLEAR_TEMP, answers.ClearTempResponse, {}, idempotency_key)

    def system_status(self) -> answers.StatusResponse:
        """Get the worker's memory, GPU and disk use."""
        return self._run(routes.SYSTEM_STATUS, answers.StatusResponse, {})

    def list_workflow_presets(self) -> answers.WorkflowPresetsResponse:
        """List all saved workflow presets."""
        return self._run(routes.LIST_WORKFLOW_PRESETS, answers.WorkflowPresetsResponse, {})

    def save_workflow_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SaveWorkflowPresetFields]
    ) -> answers.WorkflowPresetAnswer:
        """Save a workflow preset, or replace the preset of that name.

        Fields: name, preset_data.
        """
        return self._run(routes.SAVE_WORKFLOW_PRESET, answers.WorkflowPresetAnswer, fields, idempotency_key)

    def delete_workflow_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.DeleteWorkflowPresetFields]
    ) -> answers.WorkflowPresetAnswer:
        """Delete a workflow preset.

        Fields: name.
        """
        return self._run(routes.DELETE_WORKFLOW_PRESET, answers.WorkflowPresetAnswer, fields, idempotency_key)


class Submissions(SyncSubmitter):
    """The operations as jobs; each returns at once."""

    def caption_image(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.CaptionImageFields]
    ) -> Job[answers.CaptionImageResponse]:
        """Generate a descriptive caption from an image.

        Fields: image, callback_url, callback_token.
        """
        return self._submit(routes.CAPTION_IMAGE, answers.CaptionImageResponse, fields, idempotency_key)

    def enhance_prompt(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.EnhancePromptFields]
    ) -> Job[answers.EnhancePromptResponse]:
        """Enhance a simple prompt into a detailed, cinematic video prompt.

        Fields: prompt, seed, callback_url, callback_token.
        """
        return self._submit(routes.ENHANCE_PROMPT, answers.EnhancePromptResponse, fields, idempotency_key)

    def extract_frames(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ExtractFramesFields]
    ) -> Job[answers.ExtractResponse]:
        """Extract every Nth frame of a video as PNG files into a folder.

        Fields: video, extraction_rate, keep_alpha, callback_url, callback_token.
        """
        return self._submit(routes.EXTRACT_FRAMES, answers.ExtractResponse, fields, idempotency_key)

    def reassemble_frames(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ReassembleFramesFields]
    ) -> Job[answers.VideoResult]:
        """Reassemble the images of a folder into a video.

        Fields: folder_name, output_fps, output_name, with_audio, callback_url, callback_token.
        """
        return self._submit(routes.REASSEMBLE_FRAMES, answers.VideoResult, fields, idempotency_key)

    def put_frame(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PutFrameFields]
    ) -> Job[answers.PutFrameResult]:
        """Replace a frame by an image, or add one. It keeps its bytes if it has the format of the name.

        Fields: image, folder, frame.
        """
        return self._submit(routes.PUT_FRAME, answers.PutFrameResult, fields, idempotency_key)

    def analyze(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.AnalyzeFields]
    ) -> Job[answers.AnalyzeResponse]:
        """Analyze a video and get detailed metadata.

        Fields: video.
        """
        return self._submit(routes.ANALYZE, answers.AnalyzeResponse, fields, idempotency_key)

    def batch(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.BatchFields]
    ) -> Job[answers.BatchResponse]:
        """Run the same operations on many videos, each on its own.

        Fields: videos, operations, callback_url, callback_token.
        """
        return self._submit(routes.BATCH, answers.BatchResponse, fields, idempotency_key)

    def export(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.ExportFields]
    ) -> Job[answers.VideoResult]:
        """Export a video to another format, with control over quality and size.

        Fields: video, format, quality, max_width, output_name, keep_alpha, callback_url, callback_token.
        """
        return self._submit(routes.EXPORT, answers.VideoResult, fields, idempotency_key)

    def filters(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.FiltersFields]
    ) -> Job[answers.VideoResult]:
        """Apply visual filters or a filter preset to a video.

        Fields: video, brightness, contrast, saturation, temperature, sharpen, blur, denoise, vignette,
        s_curve_contrast, film_grain, preset, callback_url, callback_token.
        """
        return self._submit(routes.FILTERS, answers.VideoResult, fields, idempotency_key)

    def interpolate(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.InterpolateFields]
    ) -> Job[answers.VideoResult]:
        """Interpolate frames to increase a video's frame rate, or to change its speed.

        Fields: video, fps_mode, speed_factor, use_streaming, callback_url, callback_token.
        """
        return self._submit(routes.INTERPOLATE, answers.VideoResult, fields, idempotency_key)

    def join(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.JoinFields]
    ) -> Job[answers.VideoResult]:
        """Join several videos into one.

        Fields: videos, output_name, callback_url, callback_token.
        """
        return self._submit(routes.JOIN, answers.VideoResult, fields, idempotency_key)

    def loop(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.LoopFields]
    ) -> Job[answers.VideoResult]:
        """Create a looped version of a video.

        Fields: video, loop_type, num_loops, callback_url, callback_token.
        """
        return self._submit(routes.LOOP, answers.VideoResult, fields, idempotency_key)

    def pipeline(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PipelineFields]
    ) -> Job[answers.PipelineResult]:
        """Run several operations on a video, decoding and encoding it once.

        Fields: video, operations, callback_url, callback_token.
        """
        return self._submit(routes.PIPELINE, answers.PipelineResult, fields, idempotency_key)

    def pipeline_from_preset(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.PipelineFromPresetFields]
    ) -> Job[answers.PipelineResult]:
        """Run the steps of a saved workflow preset on a video.

        Fields: video, preset_name, callback_url, callback_token.
        """
        return self._submit(routes.PIPELINE_FROM_PRESET, answers.PipelineResult, fields, idempotency_key)

    def save_video(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.SaveVideoFields]
    ) -> Job[answers.SaveResult]:
        """Save a video to permanent storage, byte for byte.

        Fields: video, custom_name.
        """
        return self._submit(routes.SAVE_VIDEO, answers.SaveResult, fields, idempotency_key)

    def upscale(
        self, *, idempotency_key: str | None = None, **fields: Unpack[requests.UpscaleFields]
    ) -> Job[answers.VideoResult]:
        """Upscale a video with a Real-ESRGAN model.

        Fields: video, model, scale_factor, tile_size, enhance_face, denoise_strength, use_streaming,
        callback_url, callback_token.
        """
        return self._submit(routes.UPSCALE, answers.VideoResult, fields, idempotency_key)
