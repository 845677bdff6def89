//! Captures that come from outside: what is read, and what is refused with which reason.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use wound::bundle;
use wound::capture::{Capture, DepthMap, Frame, FrameParts, Intrinsics};
use wound::error::CaptureError;
use wound::error::PlyError;
use wound::geometry::ScanRejection;
use wound::phantom::{self, PhantomSpec};
use wound::pipeline;
use wound::ply;

const SIZE: (u32, u32) = (160, 120);
const DEPTH: (u32, u32) = (64, 48);

fn intrinsics() -> Intrinsics {
    Intrinsics { fx: 120.0, fy: 120.0, cx: 80.0, cy: 60.0 }
}

fn parts() -> FrameParts {
    let metres = vec![0.35; (DEPTH.0 * DEPTH.1) as usize];
    FrameParts {
        image: RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([180, 140, 120])),
        depth: DepthMap::try_new(DEPTH.0, DEPTH.1, metres).expect("a sound depth map"),
        confidence: Some(vec![2; (DEPTH.0 * DEPTH.1) as usize]),
        intrinsics: intrinsics(),
        captured_at: Some("2026-03-01T10:00:00Z".parse().expect("a time")),
        body_axis: Some([0.0, 2.0]),
    }
}

fn frame() -> Frame {
    Frame::try_new(parts()).expect("the parts belong together")
}

#[test]
fn a_bundle_comes_back_as_it_was_written() {
    let spec = PhantomSpec { image_size: [320, 240], ..PhantomSpec::default() };
    let frame = phantom::generate(&spec).expect("a phantom").capture;
    let bytes = bundle::write(&frame).expect("it is written");
    assert_eq!(bytes, bundle::write(&frame).expect("it is written"), "same frame, same bytes");
    let back = bundle::read(&bytes).expect("it is read");
    let (camera, camera_back) = (frame.intrinsics(), back.intrinsics());
    assert!((camera.cx - camera_back.cx).abs() + (camera.cy - camera_back.cy).abs() < 1e-9);
    assert!((camera.fx - camera_back.fx).abs() + (camera.fy - camera_back.fy).abs() < 1e-9);
    assert_eq!(back.confidence(), frame.confidence());
    assert_eq!(back.captured_at(), frame.captured_at());
    let (axis, axis_back) = (frame.body_axis().expect("known"), back.body_axis().expect("known"));
    assert!((axis[0] - axis_back[0]).abs() + (axis[1] - axis_back[1]).abs() < 1e-12);
    for (a, b) in frame.depth().metres().iter().zip(back.depth().metres()) {
        assert!((a - b).abs() < 1e-6);
    }
    let off: f64 = frame
        .image()
        .as_raw()
        .iter()
        .zip(back.image().as_raw())
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum();
    assert!(off / (3.0 * 320.0 * 240.0) < 4.0, "JPEG changes little");
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let code = |change: &dyn Fn(&mut FrameParts)| {
        let mut parts = parts();
        change(&mut parts);
        Frame::try_new(parts).map(|_| ()).map_err(|error| (error.code(), error.field()))
    };
    let depth = |width: u32, height: u32| {
        DepthMap::try_new(width, height, vec![0.3; (width * height) as usize]).expect("sound")
    };
    for (what, change, expected) in [
        (
            "tiny image",
            &(|it: &mut FrameParts| it.image = RgbImage::new(8, 6)) as &dyn Fn(&mut FrameParts),
            ("capture-size", Some("image")),
        ),
        ("another aspect", &|it| it.depth = depth(64, 64), ("capture-size", Some("depth"))),
        (
            "depth larger than image",
            &|it| it.depth = depth(320, 240),
            ("capture-size", Some("depth")),
        ),
        (
            "focal length 0",
            &|it| it.intrinsics.fx = 0.0,
            ("capture-intrinsics", Some("intrinsics")),
        ),
        (
            "focal length of another size",
            &|it| it.intrinsics.fx = 1450.0,
            ("capture-intrinsics", Some("intrinsics")),
        ),
        (
            "principal point outside",
            &|it| it.intrinsics.cx = 500.0,
            ("capture-intrinsics", Some("intrinsics")),
        ),
        (
            "no number",
            &|it| it.intrinsics.cy = f64::NAN,
            ("capture-intrinsics", Some("intrinsics")),
        ),
        (
            "confidence of another size",
            &|it| it.confidence = Some(vec![2; 5]),
            ("capture-size", Some("confidence")),
        ),
        (
            "confidence 3",
            &|it| it.confidence = Some(vec![3; (DEPTH.0 * DEPTH.1) as usize]),
            ("capture-confidence", Some("confidence")),
        ),
        (
            "axis without direction",
            &|it| it.body_axis = Some([0.0, 0.0]),
            ("capture-body-axis", Some("body_axis")),
        ),
    ] {
        assert_eq!(code(change), Err(expected), "{what}");
    }
    assert!(DepthMap::try_new(64, 48, vec![0.0; 7]).is_err());
    assert!(DepthMap::try_new(4, 3, vec![0.0; 12]).is_err());
    let odd =
        DepthMap::try_new(64, 48, vec![f32::NAN; 64 * 48]).expect("unknown depth is no error");
    assert_eq!(odd.at(0, 0), None);
    assert_eq!(odd.at(64, 0), None);
}

fn png(picture: &GrayImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("it is encoded");
    bytes.into_inner()
}

fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    archive
        .entries()
        .expect("an archive")
        .map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").to_string_lossy().into_owned();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).expect("its content");
            (name, content)
        })
        .collect()
}

fn packed(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice()).expect("it is packed");
    }
    archive.into_inner().expect("it is packed")
}

#[test]
fn bundles_with_anything_wrong_are_refused_by_name() {
    let good = entries(&bundle::write(&frame()).expect("it is written"));
    assert!(bundle::read(&packed(&good)).is_ok());
    let with = |name: &str, content: Vec<u8>| {
        let mut changed = good.clone();
        changed.retain(|(entry, _)| entry != name);
        changed.push((name.to_owned(), content));
        bundle::read(&packed(&changed)).map(|_| ()).expect_err("it is refused")
    };
    let without = |name: &str| {
        let mut changed = good.clone();
        changed.retain(|(entry, _)| entry != name);
        bundle::read(&packed(&changed)).map(|_| ())
    };
    let document = |change: &dyn Fn(&mut serde_json::Value)| {
        let content = &good.iter().find(|(name, _)| name == "capture.json").expect("it is there").1;
        let mut value: serde_json::Value = serde_json::from_slice(content).expect("JSON");
        change(&mut value);
        with("capture.json", serde_json::to_vec(&value).expect("JSON"))
    };

    for name in ["capture.json", "image.jpg", "depth.png"] {
        let error = without(name).expect_err("it is needed");
        assert!(matches!(error, CaptureError::Missing { entry } if entry == name), "{error:?}");
    }
    assert!(without("confidence.png").is_ok(), "confidence may be lacking");
    let error = with("location.json", b"{}".to_vec());
    assert!(matches!(error, CaptureError::Entry { .. }), "{error:?}");

    let error = document(&|it| it["gps"] = serde_json::json!([52.5, 13.4]));
    assert!(matches!(error, CaptureError::Document { entry: "capture.json", .. }), "{error:?}");
    let error = document(&|it| it["intrinsics"] = serde_json::Value::Null);
    assert!(matches!(error, CaptureError::Intrinsics { reason: "missing" }), "{error:?}");
    let error = document(&|it| it["version"] = 2.into());
    assert!(matches!(error, CaptureError::Unsupported { field: "version", .. }), "{error:?}");
    let error = document(&|it| it["format"] = "other".into());
    assert!(matches!(error, CaptureError::Unsupported { field: "format", .. }), "{error:?}");
    let error = document(&|it| it["depth"]["unit"] = "m".into());
    assert!(matches!(error, CaptureError::Document { .. }), "{error:?}");
    let error = document(&|it| it["image"]["width"] = 161.into());
    assert!(matches!(error, CaptureError::Size { entry: "image.jpg", .. }), "{error:?}");

    let error = with("image.jpg", b"no picture".to_vec());
    assert!(matches!(error, CaptureError::Decode { entry: "image.jpg", .. }), "{error:?}");
    let error = with("depth.png", png(&GrayImage::from_pixel(DEPTH.0, DEPTH.1, Luma([9]))));
    assert!(matches!(error, CaptureError::Decode { entry: "depth.png", .. }), "{error:?}");
    let error = with("confidence.png", png(&GrayImage::from_pixel(32, 24, Luma([2]))));
    assert!(matches!(error, CaptureError::Size { entry: "confidence.png", .. }), "{error:?}");
    let error = with("confidence.png", png(&GrayImage::from_pixel(DEPTH.0, DEPTH.1, Luma([7]))));
    assert!(matches!(error, CaptureError::Confidence { value: 7 }), "{error:?}");

    // A small file that unpacks to a giant picture is refused by its header.
    let giant = png(&GrayImage::new(20_000, 64));
    assert!(giant.len() < 100_000);
    let error = with("depth.png", giant);
    assert!(matches!(error, CaptureError::Size { entry: "depth.png", .. }), "{error:?}");

    let picture = &good.iter().find(|(name, _)| name == "image.jpg").expect("it is there").1;
    let mut tagged = picture[..2].to_vec();
    tagged.extend([0xFF, 0xE1, 0x00, 0x08]);
    tagged.extend(b"Exif\0\0");
    tagged.extend(&picture[2..]);
    let error = with("image.jpg", tagged);
    assert!(matches!(error, CaptureError::Metadata { entry: "image.jpg" }), "{error:?}");

    let whole = packed(&good);
    let mut twice = good.clone();
    twice.push(good[0].clone());
    assert!(bundle::read(&packed(&twice)).is_err());
    assert!(bundle::read(&whole[..whole.len() / 3]).is_err());
    assert!(bundle::read(b"").is_err());
    assert!(bundle::read(&vec![0x41; 4096]).is_err());
}

#[test]
fn damaged_bundles_never_panic() {
    let whole = bundle::write(&frame()).expect("it is written");
    for seed in 0_usize..200 {
        let mut bytes = whole.clone();
        for hit in 0..3 {
            let at = (seed * 7919 + hit * 104_729) % bytes.len();
            bytes[at] = bytes[at].wrapping_add(1 + (seed % 255) as u8);
        }
        if let Ok(frame) = bundle::read(&bytes) {
            assert!(frame.image().width() > 0);
        }
    }
}

fn ascii(body: &str) -> Vec<u8> {
    format!("ply\nformat ascii 1.0\n{body}").into_bytes()
}

const TRIANGLE: &str = "element vertex 3\nproperty float x\nproperty float y\nproperty float z\n\
    element face 1\nproperty list uchar int vertex_indices\nproperty uchar red\n\
    property uchar green\nproperty uchar blue\nend_header\n0 0 0\n0.02 0 0\n0 0.02 0\n\
    3 0 1 2 255 255 0\n";

#[test]
fn surfaces_are_read_in_metres_from_either_unit_and_encoding() {
    let surface = ply::read(&ascii(TRIANGLE)).expect("it is read");
    assert_eq!(surface.faces, [[0, 1, 2]]);
    assert_eq!(surface.face_colours, Some(vec![[255, 255, 0]]));
    let capture = Capture::from(surface);
    let measurement = pipeline::measure(&capture, pipeline::Boundary::Outline(&[]))
        .expect("the marked face is measured");
    assert_eq!(measurement.area_um2, 200_000_000);

    let large = TRIANGLE.replace("0.02", "20");
    let surface = ply::read(&ascii(&large)).expect("it is read");
    assert!((surface.vertices[1][0] - 0.02).abs() < 1e-12, "millimetres are told by the span");

    for big in [false, true] {
        let name = if big { "binary_big_endian" } else { "binary_little_endian" };
        let mut bytes = format!(
            "ply\nformat {name} 1.0\ncomment x\nelement other 1\nproperty list uchar short s\n\
             element vertex 4\nproperty double x\nproperty float y\nproperty float z\n\
             element face 1\nproperty list uchar uint vertex_index\nend_header\n"
        )
        .into_bytes();
        let float = |value: f32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        bytes.extend([2, 1, 1, 2, 2]);
        for [x, y, z] in [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.1, 0.1, 0.0], [0.0, 0.1, 0.5_f32]] {
            let x = f64::from(x);
            bytes.extend(if big { x.to_be_bytes() } else { x.to_le_bytes() });
            bytes.extend(float(y));
            bytes.extend(float(z));
        }
        bytes.push(4);
        for index in 0..4_u32 {
            bytes.extend(if big { index.to_be_bytes() } else { index.to_le_bytes() });
        }
        let surface = ply::read(&bytes).expect("it is read");
        assert_eq!(surface.faces, [[0, 1, 2], [0, 2, 3]], "a quadrangle becomes two triangles");
        assert!((surface.vertices[3][2] - 0.5).abs() < 1e-6);
        assert!(ply::read(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn surfaces_with_anything_wrong_are_refused() {
    let refused = |bytes: &[u8]| match ply::read(bytes) {
        Err(CaptureError::Ply(error)) => error,
        other => panic!("{other:?}"),
    };
    let header = |error: PlyError| matches!(error, PlyError::Header { .. });
    assert!(header(refused(b"")));
    assert!(header(refused(b"solid x\n")));
    assert!(header(refused(b"ply\nelement vertex 1\nend_header\n")));
    assert!(header(refused(&ascii("property float x\nend_header\n"))));
    assert!(header(refused(&ascii("element vertex many\nend_header\n"))));
    assert!(header(refused(&ascii("element vertex 1\nproperty list float int x\nend_header\n"))));
    // TrueDepth recordings keep their depth elsewhere and have no vertices.
    let depth = "element depth 2\nproperty float d\nend_header\n1\n2\n";
    assert_eq!(refused(&ascii(depth)), PlyError::NoVertex);
    let flat = "element vertex 1\nproperty float x\nproperty float y\nend_header\n1 2\n";
    assert_eq!(refused(&ascii(flat)), PlyError::NoCoordinates);
    assert_eq!(refused(&ascii("element vertex 999999999\nend_header\n")), PlyError::TooMany);
    let short = TRIANGLE.replace("element vertex 3", "element vertex 1000000");
    assert!(matches!(refused(&ascii(&short)), PlyError::Damaged { element: "vertex", row: 4.. }));
    let word = TRIANGLE.replace("0.02 0 0", "0.02 nought 0");
    assert_eq!(refused(&ascii(&word)), PlyError::Damaged { element: "vertex", row: 1 });
    let index = TRIANGLE.replace("3 0 1 2", "3 0 1 9");
    assert_eq!(refused(&ascii(&index)), PlyError::Face { row: 0 });
    let index = TRIANGLE.replace("3 0 1 2", "2 0 1");
    assert!(matches!(refused(&ascii(&index)), PlyError::Face { row: 0 }));
    let point = TRIANGLE.replace("0.02", "0");
    assert_eq!(refused(&ascii(&point)), PlyError::Degenerate);
    let infinite = TRIANGLE.replace("0.02 0 0", "inf 0 0");
    assert_eq!(refused(&ascii(&infinite)), PlyError::Degenerate);
}

#[test]
fn the_door_knows_its_media_types() {
    let bundle = bundle::write(&frame()).expect("it is written");
    assert!(matches!(pipeline::decode(&bundle, bundle::MEDIA_TYPE), Ok(Capture::Frame(_))));
    let surface = ascii(TRIANGLE);
    assert!(matches!(pipeline::decode(&surface, bundle::PLY_MEDIA_TYPE), Ok(Capture::Surface(_))));
    let error = pipeline::decode(&bundle, "image/jpeg").expect_err("no capture");
    assert!(matches!(error, CaptureError::MediaType));
    assert_eq!(ScanRejection::from(&error).reason(), domain::wound::RejectionReason::FormatInvalid);
}

#[test]
fn a_frames_debug_form_shows_no_picture() {
    let text = format!("{:?}", Capture::from(frame()));
    assert!(text.len() < 200 && !text.contains("180"), "{text}");
}
