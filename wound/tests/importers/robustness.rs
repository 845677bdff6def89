//! Damaged, absurd and malicious files: an answer, never a panic, never memory beyond the limits.

use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use wound::bundle;
use wound::capture::{Frame, Surface};
use wound::decode;
use wound::error::CaptureError;
use wound::importers::{
    Pair, Record3dFrame, ScannerAppFrame, StrayFrame, obj, pair, record3d, scanner_app, stray,
    true_depth,
};
use wound::limits::{DEPTH_METRES_MAX, DEPTH_SIDE_MAX, IMAGE_PIXELS_MAX};
use wound::ply;

use crate::sources::{self, TrueDepth};
use crate::table::tell;

/// What decoding may take at most beyond what the program has, in KiB: a picture of the largest
/// size in two forms, and a file.
const MEMORY_KIB_MAX: u64 = 512 << 10;

/// Every kind of file, whole.
struct Whole {
    frame: Frame,
    jpeg: Vec<u8>,
    depth: Vec<u8>,
    confidence: Vec<u8>,
    exr: Vec<u8>,
    scanner_app: Vec<u8>,
    record3d: Vec<u8>,
    matrix: Vec<u8>,
    odometry: Vec<u8>,
    recording: Vec<u8>,
    bundle: Vec<u8>,
    ply: Vec<u8>,
}

const OBJ: &[u8] = b"v 0 0 0\nv 0.1 0 0 1 0 0\nv 0.1 0.1 0\nv 0 0.1 0\nf 1/1 2//3 3 -1\n";

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let frame = sources::frame();
    Whole {
        jpeg: sources::jpeg(frame.image()),
        depth: sources::depth_png(&frame),
        confidence: sources::confidence_png(&frame),
        exr: sources::depth_exr(&frame, None),
        scanner_app: sources::scanner_app_document(&frame).to_string().into_bytes(),
        record3d: sources::record3d_document(&frame).to_string().into_bytes(),
        matrix: sources::camera_matrix(&frame).into_bytes(),
        odometry: sources::odometry(&frame).into_bytes(),
        recording: TrueDepth::of(&frame).ply(),
        bundle: bundle::write(&frame).expect("it is written"),
        ply: ply::write(&obj(OBJ).expect("it is read")).expect("it is written"),
        frame,
    }
});

/// What is done to a file: bytes changed, bytes put in, an end cut off.
#[derive(Debug, Clone)]
struct Damage {
    changes: Vec<(prop::sample::Index, u8)>,
    insert: Option<(prop::sample::Index, Vec<u8>)>,
    cut: Option<prop::sample::Index>,
    /// Most damage should hit the headers, where it does most.
    near_start: bool,
}

fn damage() -> impl Strategy<Value = Damage> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let insert = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..16));
    (
        prop::collection::vec(change, 0..6),
        prop::option::weighted(0.2, insert),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
        prop::bool::weighted(0.7),
    )
        .prop_map(|(changes, insert, cut, near_start)| Damage {
            changes,
            insert,
            cut,
            near_start,
        })
}

impl Damage {
    fn done(&self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let reach = if self.near_start { bytes.len().min(600) } else { bytes.len() };
        for (at, value) in &self.changes {
            bytes[at.index(reach)] = *value;
        }
        if let Some((at, extra)) = &self.insert {
            let at = at.index(reach);
            bytes.splice(at..at, extra.iter().copied());
        }
        if let Some(at) = &self.cut {
            bytes.truncate(at.index(bytes.len()));
        }
        bytes
    }
}

fn sound(read: Result<Frame, CaptureError>) {
    match read {
        Ok(frame) => {
            let (width, height) = frame.image().dimensions();
            assert!(u64::from(width) * u64::from(height) <= IMAGE_PIXELS_MAX);
            assert!(frame.depth().width() <= DEPTH_SIDE_MAX);
            let distance = |metres: &f32| (0.0..=DEPTH_METRES_MAX).contains(metres);
            assert!(frame.depth().metres().iter().all(distance));
            let written = bundle::write(&frame).expect("it is written");
            bundle::read(&written).expect("what is written is read");
        }
        Err(error) => assert!(error.code().starts_with("capture-")),
    }
}

fn sound_surface(read: Result<Surface, CaptureError>) {
    match read {
        Ok(surface) => {
            let count = surface.vertices.len();
            assert!(surface.faces.iter().flatten().all(|index| (*index as usize) < count));
            let written = ply::write(&surface).expect("it is written");
            ply::read(&written).expect("what is written is read");
        }
        Err(error) => assert!(error.code().starts_with("capture-")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_refused_or_read(damage in damage(), which in 0_usize..12) {
        let whole = &*WHOLE;
        let bad = |bytes: &[u8]| damage.done(bytes);
        let scan = |jpeg: &[u8], document: &[u8], depth: &[u8], confidence: &[u8]| {
            let confidence = Some(confidence);
            sound(scanner_app(&ScannerAppFrame { image: jpeg, document, depth, confidence }));
        };
        match which {
            0 => scan(&bad(&whole.jpeg), &whole.scanner_app, &whole.depth, &whole.confidence),
            1 => scan(&whole.jpeg, &bad(&whole.scanner_app), &whole.depth, &whole.confidence),
            2 => scan(&whole.jpeg, &whole.scanner_app, &bad(&whole.depth), &whole.confidence),
            3 => scan(&whole.jpeg, &whole.scanner_app, &whole.depth, &bad(&whole.confidence)),
            4 | 5 => {
                let exr = if which == 4 { bad(&whole.exr) } else { whole.exr.clone() };
                let document = if which == 5 { bad(&whole.record3d) } else { whole.record3d.clone() };
                let (image, depth, document) = (&*whole.jpeg, &*exr, &*document);
                sound(record3d(&Record3dFrame { image, depth, document, number: 2 }));
            }
            6 | 7 => {
                let matrix = if which == 6 { bad(&whole.matrix) } else { whole.matrix.clone() };
                let odometry = if which == 7 { bad(&whole.odometry) } else { whole.odometry.clone() };
                sound(stray(&StrayFrame {
                    image: &whole.jpeg,
                    depth: &whole.depth,
                    confidence: None,
                    camera_matrix: &matrix,
                    odometry: Some(&odometry),
                    number: 5,
                }));
            }
            8 => sound(true_depth(&bad(&whole.recording))),
            9 => sound(bundle::read(&bad(&whole.bundle))),
            10 => sound_surface(ply::read(&bad(&whole.ply))),
            _ => sound_surface(obj(&bad(OBJ))),
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(bundle::read(&bytes).is_err());
        prop_assert!(ply::read(&bytes).is_err());
        prop_assert!(true_depth(&bytes).is_err());
        prop_assert!(decode::depth_exr("depth", &bytes).is_err());
        // As text it may be a mesh by chance, but never panics.
        sound_surface(obj(&bytes));
    }

    #[test]
    fn any_depth_becomes_a_distance_or_nothing(values in prop::collection::vec(any::<f32>(), 128 * 96)) {
        let mut recording = TrueDepth::of(&WHOLE.frame);
        recording.depths = values.clone();
        recording.colours = values.iter().map(|value| [*value, 1.0 / value, -*value]).collect();
        sound(true_depth(&recording.ply()));
    }
}

/// The most memory the process ever held, KiB; none where the system does not tell.
fn memory_peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Zeros without end, packed.
fn zeros(count: usize, mut into: impl std::io::Write) {
    let block = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        into.write_all(&block).expect("memory");
    }
}

fn png_of_zeros(width: u32, height: u32, row_bytes: usize) -> Vec<u8> {
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::fast());
    zeros((row_bytes + 1) * height as usize, &mut pixels);
    let pixels = pixels.finish().expect("memory");
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(content);
        let length = (content.len() as u32).to_be_bytes();
        [&length, kind.as_slice(), content, &crc.sum().to_be_bytes()].concat()
    };
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[16, 0, 0, 0, 0]].concat();
    [
        b"\x89PNG\r\n\x1a\n".as_slice(),
        &chunk(b"IHDR", &header),
        &chunk(b"IDAT", &pixels),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

/// The EXR file with another data window: from 0 to these.
fn exr_of_size(right: i32, bottom: i32) -> Vec<u8> {
    let mut bytes = WHOLE.exr.clone();
    for name in [b"dataWindow\0box2i\0".as_slice(), b"displayWindow\0box2i\0"] {
        let at = bytes.windows(name.len()).position(|it| it == name).expect("it is in the header");
        let corner = at + name.len() + 4 + 8;
        bytes[corner..corner + 4].copy_from_slice(&right.to_le_bytes());
        bytes[corner + 4..corner + 8].copy_from_slice(&bottom.to_le_bytes());
    }
    bytes
}

#[test]
fn small_files_that_ask_for_much_memory_are_refused() {
    let whole = &*WHOLE;
    let before = memory_peak_kib();
    let depth = |depth: &[u8]| {
        let files = Pair {
            image: &whole.jpeg,
            depth,
            confidence: None,
            intrinsics: Some(*whole.frame.intrinsics()),
        };
        pair(&files).map(|_| ()).expect_err("it is refused").code()
    };
    let picture = |image: &[u8]| {
        let files = Pair {
            image,
            depth: &whole.depth,
            confidence: None,
            intrinsics: Some(*whole.frame.intrinsics()),
        };
        pair(&files).map(|_| ()).expect_err("it is refused").code()
    };
    let bomb = png_of_zeros(30_000, 2_000, 60_000);
    assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
    assert_eq!(depth(&bomb), "capture-size");
    assert_eq!(picture(&bomb), "capture-size");
    // Honest size, pixels without end.
    let endless = png_of_zeros(128, 96, 1 << 20);
    let files = Pair {
        image: &whole.jpeg,
        depth: &endless,
        confidence: None,
        intrinsics: Some(*whole.frame.intrinsics()),
    };
    sound(pair(&files));

    let exr = |bytes: &[u8]| {
        let error = decode::depth_exr("depth", bytes).expect_err("it is refused");
        error.code()
    };
    assert_eq!(exr(&exr_of_size(i32::MAX - 1, i32::MAX - 1)), "capture-picture");
    assert_eq!(exr(&exr_of_size(100_000, 100_000)), "capture-size");
    assert_eq!(exr(&exr_of_size(-5, -5)), "capture-picture");
    assert_eq!(exr(&exr_of_size(2000, 2000)), "capture-picture");
    assert!(decode::depth_exr("depth", &exr_of_size(127, 95)).is_ok(), "its own size");

    let folder = tempfile::tempdir().expect("a folder");
    let mut packed = GzEncoder::new(b"".to_vec(), Compression::fast());
    zeros(256 << 20, &mut packed);
    let packed = packed.finish().expect("memory");
    assert!(packed.len() < 4 << 20, "{} bytes", packed.len());
    sources::write(folder.path(), "a.ply.gz", &packed);
    let path = folder.path().join("a.ply.gz");
    let error = wound::importers::import(&path, Default::default());
    assert_eq!(error.expect_err("it is refused").code(), "capture-too-large");
    // A file that is all hole.
    let file = std::fs::File::create(folder.path().join("hole.ply")).expect("a file");
    file.set_len(1 << 40).expect("a hole");
    let path = folder.path().join("hole.ply");
    let error = wound::importers::import(&path, Default::default());
    assert_eq!(error.expect_err("it is refused").code(), "capture-too-large");

    for (text, code) in [
        (
            "element vertex 2000000\nproperty float x\nproperty float y\nproperty float z\n",
            "capture-ply",
        ),
        ("element vertex 99999999999\nproperty float x\n", "capture-ply"),
        ("element depth 2000000\nproperty float d\n", "capture-ply"),
        (
            "element metadata 2000000\nproperty uchar char\nelement depth 1\nproperty float d\n",
            "capture-ply",
        ),
    ] {
        let file = format!("ply\nformat binary_little_endian 1.0\n{text}end_header\n\0\0");
        let error = ply::read(file.as_bytes()).expect_err("it is refused");
        assert_eq!(error.code(), code, "{text}");
        let error = true_depth(file.as_bytes()).expect_err("it is refused");
        assert!(matches!(error.code(), "capture-ply" | "capture-part-missing"), "{text}: {error}");
    }

    match (before, memory_peak_kib()) {
        (Some(before), Some(after)) => {
            tell(&format!("memory rose from {before} to {after} KiB"));
            assert!(after - before < MEMORY_KIB_MAX, "{} KiB more", after - before);
        }
        _ => tell("left out: this system does not tell how much memory was held"),
    }
}
