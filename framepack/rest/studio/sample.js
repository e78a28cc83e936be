// @ts-check
// The sample clip, and settings that finish it within a minute on any machine.

export const SAMPLE = {
  path: "/studio/sample.mp4",
  credit: "Sample: Big Buck Bunny, © 2008 Blender Foundation, CC BY 3.0",
  operation: "upscale",
  body: { model: "RealESR_AnimeVideo_v3", scale_factor: 4 },
};
