//! A capture: what one press of the button on a phone with a depth camera gives, checked.
//!
//! A [`Capture`] cannot hold nonsense: sizes, aspect, intrinsics, depth and confidence are checked
//! when it is made, and every refusal names the entry and the reason. A capture has no place for a
//! position, a device name or a serial number, so none can be carried along.

use std::fmt;

use image::RgbImage;

use crate::error::CaptureError;
use crate::limits::{
    DEPTH_METRES_MAX, DEPTH_SIDE_MAX, DEPTH_SIDE_MIN, IMAGE_PIXELS_MAX, IMAGE_SIDE_MAX,
    IMAGE_SIDE_MIN,
};

/// How far the depth map's aspect may be from the image's, as a share of it.
const ASPECT_TOLERANCE: f64 = 0.02;

/// A checked capture: a colour image with its depth, or a reconstructed surface.
#[derive(Debug, Clone)]
pub enum Capture {
    /// One frame of colour, depth and confidence with the camera's intrinsics.
    Frame(Box<Frame>),
    /// A surface that a scanner reconstructed, in metres.
    Surface(Box<Surface>),
}

impl From<Frame> for Capture {
    fn from(frame: Frame) -> Self {
        Self::Frame(Box::new(frame))
    }
}

impl From<Surface> for Capture {
    fn from(surface: Surface) -> Self {
        Self::Surface(Box::new(surface))
    }
}

/// A pinhole camera, in pixels of the colour image; a pixel's centre has whole coordinates.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intrinsics {
    /// Focal length along x.
    pub fx: f64,
    /// Focal length along y.
    pub fy: f64,
    /// Principal point, x.
    pub cx: f64,
    /// Principal point, y.
    pub cy: f64,
}

impl Intrinsics {
    /// The direction through pixel `(x, y)`, scaled so that its third component is 1.
    #[must_use]
    pub fn ray(&self, x: f64, y: f64) -> nalgebra::Vector3<f64> {
        nalgebra::Vector3::new((x - self.cx) / self.fx, (y - self.cy) / self.fy, 1.0)
    }

    /// The pixel at which a point in camera coordinates is seen.
    #[must_use]
    pub fn project(&self, point: &nalgebra::Vector3<f64>) -> [f64; 2] {
        [self.cx + self.fx * point.x / point.z, self.cy + self.fy * point.y / point.z]
    }

    /// From a camera matrix, row by row.
    ///
    /// # Errors
    /// It is not a camera matrix, or was written column by column, or its pixels are askew.
    pub fn from_row_major(matrix: &[f64; 9]) -> Result<Self, CaptureError> {
        let [fx, skew, cx, zero_a, fy, cy, zero_b, zero_c, one] = *matrix;
        // A matrix in the other order has its principal point in the last row.
        if zero_a != 0.0 || zero_b != 0.0 || zero_c != 0.0 || (one - 1.0).abs() > 1e-9 {
            return Err(CaptureError::Intrinsics {
                reason: "not a camera matrix, or in the wrong order",
            });
        }
        if skew.abs() > 1e-3 * fx.abs() {
            return Err(CaptureError::Intrinsics { reason: "skewed pixels are not supported" });
        }
        Ok(Self { fx, fy, cx, cy })
    }

    fn check(&self, width: u32, height: u32) -> Result<(), CaptureError> {
        let (width, height) = (f64::from(width), f64::from(height));
        let sane = [self.fx, self.fy, self.cx, self.cy].iter().all(|value| value.is_finite())
            // A phone's field of view lies between a tele and an ultra-wide lens.
            && (0.25 * width..=8.0 * width.max(height)).contains(&self.fx)
            && (0.25 * height..=8.0 * width.max(height)).contains(&self.fy)
            && (0.8..=1.25).contains(&(self.fx / self.fy))
            && (0.2 * width..=0.8 * width).contains(&self.cx)
            && (0.2 * height..=0.8 * height).contains(&self.cy);
        if sane {
            Ok(())
        } else {
            Err(CaptureError::Intrinsics { reason: "out of range for the image" })
        }
    }
}

/// Depth along the optical axis, in metres; 0 where nothing was measured.
#[derive(Clone, PartialEq)]
pub struct DepthMap {
    width: u32,
    height: u32,
    metres: Vec<f32>,
}

impl fmt::Debug for DepthMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DepthMap({}x{})", self.width, self.height)
    }
}

impl DepthMap {
    /// A depth map of `width` × `height`, row by row. Values that are no distance become 0.
    ///
    /// # Errors
    /// A size out of bounds, or another number of values than the size says.
    pub fn try_new(width: u32, height: u32, mut metres: Vec<f32>) -> Result<Self, CaptureError> {
        let sides = DEPTH_SIDE_MIN..=DEPTH_SIDE_MAX;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(CaptureError::Size { entry: "depth", width, height });
        }
        if metres.len() != width as usize * height as usize {
            return Err(CaptureError::Length {
                entry: "depth",
                expected: width as usize * height as usize,
                found: metres.len(),
            });
        }
        for value in &mut metres {
            if !value.is_finite() || *value <= 0.0 || *value > DEPTH_METRES_MAX {
                *value = 0.0;
            }
        }
        Ok(Self { width, height, metres })
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The values, row by row.
    #[must_use]
    pub fn metres(&self) -> &[f32] {
        &self.metres
    }

    /// The depth at a column and row, if it was measured.
    #[must_use]
    pub fn at(&self, column: u32, row: u32) -> Option<f64> {
        if column >= self.width || row >= self.height {
            return None;
        }
        let value = self.metres[(row * self.width + column) as usize];
        (value > 0.0).then(|| f64::from(value))
    }
}

/// What a frame is made of, before it is checked.
pub struct FrameParts {
    /// The colour image, as the sensor delivered it (not rotated).
    pub image: RgbImage,
    /// Depth of the same field of view.
    pub depth: DepthMap,
    /// 0 (low) to 2 (high) for each depth value, if the sensor tells.
    pub confidence: Option<Vec<u8>>,
    /// The camera, at the size of `image`.
    pub intrinsics: Intrinsics,
    /// When it was captured, by the phone's clock.
    pub captured_at: Option<jiff::Timestamp>,
    /// The direction from head to toe in the image (x right, y down), where it is known.
    pub body_axis: Option<[f64; 2]>,
}

/// A colour image with depth, confidence and intrinsics.
#[derive(Clone)]
pub struct Frame {
    image: RgbImage,
    depth: DepthMap,
    confidence: Option<Vec<u8>>,
    intrinsics: Intrinsics,
    captured_at: Option<jiff::Timestamp>,
    body_axis: Option<[f64; 2]>,
}

impl fmt::Debug for Frame {
    /// Sizes only: the picture of a patient has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("image", &self.image.dimensions())
            .field("depth", &self.depth)
            .field("confidence", &self.confidence.is_some())
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// Checks the parts against each other.
    ///
    /// # Errors
    /// Sizes out of bounds, aspects that differ, impossible intrinsics, confidence that does not
    /// belong to the depth, an axis without direction.
    pub fn try_new(parts: FrameParts) -> Result<Self, CaptureError> {
        let FrameParts { image, depth, confidence, intrinsics, captured_at, body_axis } = parts;
        let (width, height) = image.dimensions();
        check_image_size("image", width, height)?;
        let image_aspect = f64::from(width) / f64::from(height);
        let depth_aspect = f64::from(depth.width) / f64::from(depth.height);
        if (depth_aspect / image_aspect - 1.0).abs() > ASPECT_TOLERANCE {
            return Err(CaptureError::Aspect {
                image: (width, height),
                depth: (depth.width, depth.height),
            });
        }
        if depth.width > width || depth.height > height {
            return Err(CaptureError::Size {
                entry: "depth",
                width: depth.width,
                height: depth.height,
            });
        }
        intrinsics.check(width, height)?;
        if let Some(confidence) = &confidence {
            if confidence.len() != depth.metres.len() {
                return Err(CaptureError::Length {
                    entry: "confidence",
                    expected: depth.metres.len(),
                    found: confidence.len(),
                });
            }
            if let Some(value) = confidence.iter().find(|value| **value > 2) {
                return Err(CaptureError::Confidence { value: *value });
            }
        }
        let body_axis = match body_axis {
            None => None,
            Some([x, y]) => {
                let length = x.hypot(y);
                if !length.is_finite() || length < 1e-6 {
                    return Err(CaptureError::BodyAxis);
                }
                Some([x / length, y / length])
            }
        };
        Ok(Self { image, depth, confidence, intrinsics, captured_at, body_axis })
    }

    /// The colour image.
    #[must_use]
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// The depth map.
    #[must_use]
    pub fn depth(&self) -> &DepthMap {
        &self.depth
    }

    /// Confidence for each depth value, 0 to 2.
    #[must_use]
    pub fn confidence(&self) -> Option<&[u8]> {
        self.confidence.as_deref()
    }

    /// The camera, at the colour image's size.
    #[must_use]
    pub fn intrinsics(&self) -> &Intrinsics {
        &self.intrinsics
    }

    /// When it was captured, by the phone's clock.
    #[must_use]
    pub fn captured_at(&self) -> Option<jiff::Timestamp> {
        self.captured_at
    }

    /// Unit vector from head to toe in the image, where it is known.
    #[must_use]
    pub fn body_axis(&self) -> Option<[f64; 2]> {
        self.body_axis
    }

    /// The colour pixel that a depth pixel's centre falls on.
    #[must_use]
    pub fn depth_to_image(&self, column: f64, row: f64) -> [f64; 2] {
        let (width, height) = self.image.dimensions();
        [
            (column + 0.5) * f64::from(width) / f64::from(self.depth.width) - 0.5,
            (row + 0.5) * f64::from(height) / f64::from(self.depth.height) - 0.5,
        ]
    }

    /// Takes the frame apart again, for changing one part and checking it again.
    #[must_use]
    pub fn into_parts(self) -> FrameParts {
        FrameParts {
            image: self.image,
            depth: self.depth,
            confidence: self.confidence,
            intrinsics: self.intrinsics,
            captured_at: self.captured_at,
            body_axis: self.body_axis,
        }
    }
}

/// A reconstructed surface: points, triangles and their colours.
#[derive(Clone)]
pub struct Surface {
    /// Vertex positions, metres.
    pub vertices: Vec<[f64; 3]>,
    /// Colour of each vertex, where the file has one.
    pub vertex_colours: Option<Vec<[u8; 3]>>,
    /// Triangles, as indices into `vertices`.
    pub faces: Vec<[u32; 3]>,
    /// Colour of each face, where the file has one.
    pub face_colours: Option<Vec<[u8; 3]>>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Surface({} vertices, {} faces)", self.vertices.len(), self.faces.len())
    }
}

impl Surface {
    /// A body part is smaller than this in metres, and larger in millimetres.
    const METRES_OR_MILLIMETRES: f64 = 10.0;

    /// Turns vertices of a file without unit into metres: a span of 10 and more is taken to be
    /// millimetres, less to be metres. Says whether they then span what a body part can.
    pub(crate) fn scale_to_metres(&mut self) -> bool {
        let mut low = [f64::MAX; 3];
        let mut high = [f64::MIN; 3];
        for vertex in &self.vertices {
            for axis in 0..3 {
                if !vertex[axis].is_finite() {
                    return false;
                }
                low[axis] = low[axis].min(vertex[axis]);
                high[axis] = high[axis].max(vertex[axis]);
            }
        }
        let span = (0..3).map(|axis| (high[axis] - low[axis]).powi(2)).sum::<f64>().sqrt();
        if span <= 0.0 || !span.is_finite() {
            return false;
        }
        if span >= Self::METRES_OR_MILLIMETRES {
            for vertex in &mut self.vertices {
                *vertex = vertex.map(|value| value / 1000.0);
            }
        }
        // So that metres, once written, are not taken for millimetres when they are read again.
        span < 1000.0 * Self::METRES_OR_MILLIMETRES
    }
}

/// Refuses a colour image that is too small to hold a wound or too large to decode.
pub(crate) fn check_image_size(
    entry: &'static str,
    width: u32,
    height: u32,
) -> Result<(), CaptureError> {
    let sides = IMAGE_SIDE_MIN..=IMAGE_SIDE_MAX;
    if !sides.contains(&width)
        || !sides.contains(&height)
        || u64::from(width) * u64::from(height) > IMAGE_PIXELS_MAX
    {
        return Err(CaptureError::Size { entry, width, height });
    }
    Ok(())
}
