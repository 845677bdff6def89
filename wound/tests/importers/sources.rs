//! One capture, written the way each program writes its own.

use std::io::{Cursor, Write as _};
use std::path::Path;

use exr::prelude::{Encoding, Image, SpecificChannels, WritableImage as _, f16};
use image::{ExtendedColorType, ImageEncoder as _, ImageFormat, RgbImage};
use serde_json::{Value, json};
use wound::capture::Frame;
use wound::phantom::{self, PhantomSpec};

/// A phantom, small enough to be written many times.
pub(crate) fn frame() -> Frame {
    let spec =
        PhantomSpec { image_size: [320, 240], depth_size: [128, 96], ..PhantomSpec::default() };
    phantom::generate(&spec).expect("a phantom").capture
}

pub(crate) fn jpeg(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode_image(image)
        .expect("it is encoded");
    bytes
}

pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("it is encoded");
    bytes.into_inner()
}

pub(crate) fn grey(pixels: &[u8], size: (u32, u32), kind: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(pixels, size.0, size.1, kind)
        .expect("it is encoded");
    bytes
}

pub(crate) fn depth_png(frame: &Frame) -> Vec<u8> {
    let depth = frame.depth();
    let pixels: Vec<u8> = depth
        .metres()
        .iter()
        .flat_map(|metres| ((metres * 1000.0).round() as u16).to_ne_bytes())
        .collect();
    grey(&pixels, (depth.width(), depth.height()), ExtendedColorType::L16)
}

pub(crate) fn confidence_png(frame: &Frame) -> Vec<u8> {
    let depth = frame.depth();
    let values = frame.confidence().expect("a phantom's sensor tells");
    grey(values, (depth.width(), depth.height()), ExtendedColorType::L8)
}

/// Half-float metres in channel R, with an attribute of the writer's choice.
pub(crate) fn depth_exr(frame: &Frame, owner: Option<&str>) -> Vec<u8> {
    let depth = frame.depth();
    let (width, height) = (depth.width() as usize, depth.height() as usize);
    let metre = |at: exr::math::Vec2<usize>| f16::from_f32(depth.metres()[at.y() * width + at.x()]);
    let channels = SpecificChannels::build()
        .with_channel("R")
        .with_pixel_fn(move |at: exr::math::Vec2<usize>| (metre(at),));
    let mut image =
        Image::from_encoded_channels((width, height), Encoding::SMALL_LOSSLESS, channels);
    image.layer_data.encoding.compression = exr::prelude::Compression::ZIP16;
    image.layer_data.attributes.owner = owner.map(|owner| owner.into());
    let mut bytes = Cursor::new(Vec::new());
    image.write().non_parallel().to_buffered(&mut bytes).expect("it is encoded");
    bytes.into_inner()
}

/// Row by row.
fn matrix(frame: &Frame) -> [f64; 9] {
    let camera = frame.intrinsics();
    [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
}

pub(crate) fn transposed(matrix: [f64; 9]) -> [f64; 9] {
    let [a, b, c, d, e, f, g, h, i] = matrix;
    [a, d, g, b, e, h, c, f, i]
}

pub(crate) fn scanner_app_document(frame: &Frame) -> Value {
    json!({ "time": 942_355.6, "frame_index": 7, "intrinsics": matrix(frame) })
}

pub(crate) fn record3d_document(frame: &Frame) -> Value {
    let camera = frame.intrinsics();
    let own = [camera.fx, camera.fy, camera.cx, camera.cy];
    // The first frame's camera is another one: each frame's own must be taken.
    let other = own.map(|value| value * 1.1);
    json!({
        "w": frame.image().width(), "h": frame.image().height(),
        "dw": frame.depth().width(), "dh": frame.depth().height(),
        "K": transposed([other[0], 0.0, other[2], 0.0, other[1], other[3], 0.0, 0.0, 1.0]),
        "perFrameIntrinsicCoeffs": [other, other, own],
        "poses": [[0, 0, 0, 1, 0, 0, 0]],
        "fps": 60, "cameraType": 1,
    })
}

/// Two frames' rows; the second is the frame's.
pub(crate) fn odometry(frame: &Frame) -> String {
    let camera = frame.intrinsics();
    let row = |number: u32, scale: f64| {
        let [fx, fy, cx, cy] =
            [camera.fx, camera.fy, camera.cx, camera.cy].map(|value| value * scale);
        format!("65575.59, {number:06}, 0, 0, 0, 0, 0, 0, 1, {fx}, {fy}, {cx}, {cy}, , \n")
    };
    let head = "timestamp, frame, x, y, z, qx, qy, qz, qw, fx, fy, cx, cy, \
        distortion_center_x, distortion_center_y\n";
    format!("{head}{}{}", row(4, 1.1), row(5, 1.0))
}

pub(crate) fn camera_matrix(frame: &Frame) -> String {
    matrix(frame)
        .chunks(3)
        .map(|row| format!("{}, {}, {}", row[0], row[1], row[2]))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A recording of the front camera: colour and depth of the same size.
pub(crate) struct TrueDepth {
    pub(crate) metadata: Value,
    pub(crate) comment: String,
    pub(crate) colours: Vec<[f32; 3]>,
    pub(crate) depths: Vec<f32>,
}

impl TrueDepth {
    /// As the phantom shows it, through a lens that bends nothing.
    pub(crate) fn of(frame: &Frame) -> Self {
        let depth = frame.depth();
        let (width, height) = (depth.width(), depth.height());
        let camera = frame.intrinsics();
        // The calibration is for pictures of eight times the size.
        let scale = 8.0 * f64::from(width) / f64::from(frame.image().width());
        let middle = |at: f64| (at + 0.5) * scale - 0.5;
        let matrix = [
            camera.fx * scale,
            0.0,
            middle(camera.cx),
            0.0,
            camera.fy * scale,
            middle(camera.cy),
            0.0,
            0.0,
            1.0,
        ];
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let colours = pixels.map(|(x, y)| {
            let [column, row] = frame.depth_to_image(f64::from(x), f64::from(y));
            let pixel = frame.image().get_pixel(column.round() as u32, row.round() as u32);
            pixel.0.map(|value| (f32::from(value) / 255.0).powf(2.2))
        });
        Self {
            metadata: json!({
                "width": width, "height": height, "color_space": "sRGB",
                "absolute_timestamp": 578_433_769.5, "timestamp": 42_679.0,
                "camera_intrinsics": {
                    "width": width, "height": height,
                    "intrinsic_matrix": transposed(matrix),
                    "intrinsic_matrix_reference_dimensions_width": 8 * width,
                    "intrinsic_matrix_reference_dimensions_height": 8 * height,
                    "lens_distortion_center_x": matrix[2],
                    "lens_distortion_center_y": matrix[5],
                    "lens_distortion_lookup_table": [0.0, 0.0],
                },
            }),
            comment: "StandardCyborgFusionVersion 1.2.0".to_owned(),
            colours: colours.collect(),
            depths: depth.metres().iter().map(|it| if *it > 0.0 { *it } else { 9999.0 }).collect(),
        }
    }

    pub(crate) fn ply(&self) -> Vec<u8> {
        let metadata = serde_json::to_vec(&self.metadata).expect("JSON");
        let mut bytes = format!(
            "ply\nformat binary_little_endian 1.0\ncomment {}\nelement metadata {}\n\
             property uchar char\nelement color {}\nproperty float r\nproperty float g\n\
             property float b\nelement depth {}\nproperty float d\nend_header\n",
            self.comment,
            metadata.len(),
            self.colours.len(),
            self.depths.len()
        )
        .into_bytes();
        bytes.extend(metadata);
        bytes.extend(self.colours.iter().flatten().flat_map(|value| value.to_le_bytes()));
        bytes.extend(self.depths.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }
}

pub(crate) fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(bytes.as_ref()))
        .expect("a file");
}

/// A frame as a 3D Scanner App scan, frame 7.
pub(crate) fn scanner_app(folder: &Path, frame: &Frame) {
    write(folder, "frame_00007.jpg", jpeg(frame.image()));
    write(folder, "frame_00007.json", scanner_app_document(frame).to_string());
    write(folder, "depth_00007.png", depth_png(frame));
    write(folder, "conf_00007.png", confidence_png(frame));
}

/// A frame as a Record3D export, frame 2.
pub(crate) fn record3d(folder: &Path, frame: &Frame) {
    write(folder, "rgb/2.jpg", jpeg(frame.image()));
    write(folder, "depth/2.exr", depth_exr(frame, None));
    write(folder, "metadata.json", record3d_document(frame).to_string());
}

/// A frame as a Stray Scanner recording, frame 5.
pub(crate) fn stray(folder: &Path, frame: &Frame) {
    write(folder, "rgb.mp4", b"no video of ours");
    write(folder, "rgb/000005.png", png(frame.image()));
    write(folder, "depth/000005.png", depth_png(frame));
    write(folder, "confidence/000005.png", confidence_png(frame));
    write(folder, "camera_matrix.csv", camera_matrix(frame));
    write(folder, "odometry.csv", odometry(frame));
}

/// A frame as a picture and its depth.
pub(crate) fn pair(folder: &Path, frame: &Frame) {
    write(folder, "image.jpg", jpeg(frame.image()));
    write(folder, "arkit_depth.png", depth_png(frame));
}
