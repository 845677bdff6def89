//! One line for each refusal, with the words its reader sees.

use std::fmt::Write as _;
use std::path::Path;

use image::{ExtendedColorType, RgbImage};
use wound::capture::Intrinsics;
use wound::importers::{Options, import};

use crate::sources::{self, TrueDepth, write};

/// The error with the reasons below it, and without the machine's own paths.
fn words(error: &dyn std::error::Error, folder: &Path) -> String {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(reason) = below {
        write!(words, ": {reason}").expect("a string");
        below = reason.source();
    }
    words.replace(&folder.display().to_string(), "…")
}

#[test]
fn each_refusal_says_what_is_wrong() {
    let frame = sources::frame();
    let mut table = String::new();
    let mut case = |name: &str, file: &str, options: Options, make: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path());
        let error = import(&folder.path().join(file), options).expect_err(name);
        let said = words(&error, folder.path());
        writeln!(table, "{name} | {} | {said}", error.code()).expect("a line");
    };
    let plain = Options::default();
    let json = |change: &dyn Fn(&mut serde_json::Value), mut document: serde_json::Value| {
        change(&mut document);
        document.to_string()
    };

    case("nothing there", "gone.ply", plain, &|_| ());
    case("an empty folder", "", plain, &|_| ());
    case("a picture alone", "a.jpg", plain, &|at| write(at, "a.jpg", sources::jpeg(frame.image())));
    case("a zip archive", "a.r3d", plain, &|at| write(at, "a.r3d", b"PK\x03\x04rest"));
    case("two pictures and a depth map", "", plain, &|at| {
        sources::pair(at, &frame);
        write(at, "other.jpg", b"");
    });
    case("gzip that ends early", "a.ply.gz", plain, &|at| {
        write(at, "a.ply.gz", [0x1F, 0x8B, 8, 0, 0, 0]);
    });
    case("a bundle with another name's content", "a.tar", plain, &|at| write(at, "a.tar", b"no"));
    case("a file with --frame", "a.obj", Options { frame: Some(1), ..plain }, &|at| {
        write(at, "a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n");
    });
    let camera = Intrinsics { fx: 1.0, fy: 1.0, cx: 1.0, cy: 1.0 };
    let given = Options { intrinsics: Some(camera), ..plain };
    case("a scan with --intrinsics", "", given, &|at| sources::scanner_app(at, &frame));
    case("a pair with --frame", "", Options { frame: Some(0), ..plain }, &|at| {
        sources::pair(at, &frame);
    });
    case("a pair without intrinsics", "", plain, &|at| sources::pair(at, &frame));
    case("a pair with impossible intrinsics", "", given, &|at| sources::pair(at, &frame));
    case("a pair turned against its depth", "", plain, &|at| {
        sources::pair(at, &frame);
        write(at, "image.jpg", sources::jpeg(&image::imageops::rotate90(frame.image())));
    });

    case("scanner app: no picture", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        std::fs::remove_file(at.join("frame_00007.jpg")).expect("it was there");
    });
    case("scanner app: no depth", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        std::fs::remove_file(at.join("depth_00007.png")).expect("it was there");
    });
    case("scanner app: no intrinsics", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        write(at, "frame_00007.json", "{\"time\": 1}");
    });
    case("scanner app: column-major", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        let document = json(
            &|it| {
                let rows: [f64; 9] =
                    serde_json::from_value(it["intrinsics"].clone()).expect("nine");
                it["intrinsics"] = serde_json::json!(sources::transposed(rows));
            },
            sources::scanner_app_document(&frame),
        );
        write(at, "frame_00007.json", document);
    });
    case("scanner app: confidence 3", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        let three = sources::grey(&[3; 128 * 96], (128, 96), ExtendedColorType::L8);
        write(at, "conf_00007.png", three);
    });
    case("scanner app: confidence of another size", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        let small = sources::grey(&[2; 64 * 48], (64, 48), ExtendedColorType::L8);
        write(at, "conf_00007.png", small);
    });
    case("scanner app: 8-bit depth", "", plain, &|at| {
        sources::scanner_app(at, &frame);
        let eight = sources::grey(&[200; 128 * 96], (128, 96), ExtendedColorType::L8);
        write(at, "depth_00007.png", eight);
    });

    case("record3d: no depth", "", plain, &|at| {
        sources::record3d(at, &frame);
        std::fs::remove_dir_all(at.join("depth")).expect("it was there");
    });
    case("record3d: no picture", "", plain, &|at| {
        sources::record3d(at, &frame);
        std::fs::remove_file(at.join("rgb/2.jpg")).expect("it was there");
    });
    case("record3d: no such frame", "", Options { frame: Some(9), ..plain }, &|at| {
        sources::record3d(at, &frame);
    });
    for (name, change) in [
        (
            "record3d: no camera",
            &(|it: &mut serde_json::Value| {
                it["K"] = serde_json::Value::Null;
                it["perFrameIntrinsicCoeffs"] = serde_json::json!([]);
            }) as &dyn Fn(&mut serde_json::Value),
        ),
        ("record3d: row-major", &|it| {
            let columns: [f64; 9] = serde_json::from_value(it["K"].clone()).expect("nine");
            it["K"] = serde_json::json!(sources::transposed(columns));
            it["perFrameIntrinsicCoeffs"] = serde_json::json!([]);
        }),
        ("record3d: another size than the camera's", &|it| it["w"] = 640.into()),
        ("record3d: depth of another size", &|it| it["dh"] = 95.into()),
        ("record3d: a text where a number belongs", &|it| it["w"] = "wide".into()),
    ] {
        case(name, "", plain, &|at| {
            sources::record3d(at, &frame);
            write(at, "metadata.json", json(change, sources::record3d_document(&frame)));
        });
    }
    case("record3d: turned against its camera", "", plain, &|at| {
        sources::record3d(at, &frame);
        write(at, "rgb/2.jpg", sources::jpeg(&image::imageops::rotate90(frame.image())));
    });
    case("record3d: no EXR", "", plain, &|at| {
        sources::record3d(at, &frame);
        write(at, "depth/2.exr", sources::depth_png(&frame));
    });
    case("record3d: EXR cut short", "", plain, &|at| {
        sources::record3d(at, &frame);
        let whole = sources::depth_exr(&frame, None);
        write(at, "depth/2.exr", &whole[..whole.len() - 100]);
    });

    case("stray: no depth", "", plain, &|at| {
        write(at, "camera_matrix.csv", sources::camera_matrix(&frame));
        write(at, "odometry.csv", sources::odometry(&frame));
    });
    case("stray: a video", "", plain, &|at| {
        sources::stray(at, &frame);
        std::fs::remove_dir_all(at.join("rgb")).expect("it was there");
    });
    for (name, text) in [
        ("stray: a matrix of two rows", "1,0,1\n0,1,1"),
        ("stray: words in the matrix", "a,b,c\nd,e,f\ng,h,i"),
        ("stray: no numbers in the matrix", "nan,0,1\n0,inf,1\n0,0,1"),
        ("stray: a transposed matrix", "120,0,0\n0,120,0\n80,60,1"),
        ("stray: skewed pixels", "120,30,80\n0,120,60\n0,0,1"),
    ] {
        case(name, "", plain, &|at| {
            sources::stray(at, &frame);
            write(at, "camera_matrix.csv", text);
        });
    }
    case("stray: a frame without its camera", "", plain, &|at| {
        sources::stray(at, &frame);
        write(at, "odometry.csv", "frame, fx, fy, cx, cy\n000005, , , , \n");
    });
    case("stray: a smaller picture than the camera's", "", plain, &|at| {
        sources::stray(at, &frame);
        let half =
            image::imageops::resize(frame.image(), 160, 120, image::imageops::FilterType::Triangle);
        write(at, "rgb/000005.png", sources::png(&half));
    });
    case("stray: a turned picture", "", plain, &|at| {
        sources::stray(at, &frame);
        write(at, "rgb/000005.png", sources::png(&image::imageops::rotate90(frame.image())));
    });

    for (name, change) in [
        (
            "recording: no calibration",
            &(|it: &mut TrueDepth| {
                it.metadata["camera_intrinsics"] = serde_json::Value::Null;
            }) as &dyn Fn(&mut TrueDepth),
        ),
        ("recording: no matrix", &|it| {
            it.metadata["camera_intrinsics"]["intrinsic_matrix"] = serde_json::Value::Null;
        }),
        ("recording: another aspect", &|it| {
            it.metadata["camera_intrinsics"]["intrinsic_matrix_reference_dimensions_width"] =
                4000.into();
        }),
        ("recording: a reference of no size", &|it| {
            it.metadata["camera_intrinsics"]["intrinsic_matrix_reference_dimensions_width"] =
                0.into();
        }),
        ("recording: an impossible lens", &|it| {
            it.metadata["camera_intrinsics"]["lens_distortion_lookup_table"] =
                serde_json::json!([0.0, 7.0]);
        }),
        ("recording: more pixels than colours", &|it| it.colours.truncate(99)),
        ("recording: more pixels than depths", &|it| it.depths.truncate(99)),
        ("recording: an absurd size", &|it| it.metadata["width"] = u32::MAX.into()),
        ("recording: a negative size", &|it| it.metadata["width"] = (-1).into()),
    ] {
        case(name, "a.ply", plain, &|at| {
            let mut recording = TrueDepth::of(&frame);
            change(&mut recording);
            write(at, "a.ply", recording.ply());
        });
    }
    case("recording: no metadata", "a.ply", plain, &|at| {
        let text = "ply\nformat ascii 1.0\nelement depth 1\nproperty float d\nend_header\n1\n";
        write(at, "a.ply", text);
    });
    case("recording: cut short", "a.ply", plain, &|at| {
        let whole = TrueDepth::of(&frame).ply();
        write(at, "a.ply", &whole[..whole.len() - 1]);
    });
    case("recording: no d", "a.ply", plain, &|at| {
        let text = "ply\nformat ascii 1.0\nelement depth 1\nproperty float z\nend_header\n1\n";
        write(at, "a.ply", text);
    });

    for (name, text) in [
        ("obj: empty", ""),
        ("obj: a vertex of two numbers", "v 1 2\n"),
        ("obj: no number", "v 1 2 x\n"),
        ("obj: not finite", "v 0 0 0\nv inf 0 0\n"),
        ("obj: one point", "v 1 1 1\nv 1 1 1\n"),
        ("obj: a kilometre", "v 0 0 0\nv 1e6 0 0\n"),
        ("obj: face of words", "v 0 0 0\nf a b c\n"),
        ("obj: face 0", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n"),
        ("obj: face without vertex", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n"),
        ("obj: face before its vertices", "v 0 0 0\nv 1 0 0\nf 1 2 -3\n"),
        ("obj: face of two corners", "v 0 0 0\nv 1 0 0\nf 1 2\n"),
    ] {
        case(name, "a.obj", plain, &|at| write(at, "a.obj", text));
    }
    case("a giant picture in a small file", "", plain, &|at| {
        sources::pair(at, &frame);
        write(at, "image.jpg", sources::png(&RgbImage::new(9000, 64)));
    });

    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/wound"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("import_refusals", table) });
}
