//! Each program's form of a capture is read as the same capture, and becomes a bundle.

use wound::bundle;
use wound::capture::{Capture, Frame, Intrinsics};
use wound::importers::{Imported, Kind, Options, import, obj, true_depth};
use wound::ply;

use crate::sources::{self, TrueDepth};

fn only_frame(imported: &Imported) -> &Frame {
    match &imported.capture {
        Capture::Frame(frame) => frame,
        Capture::Surface(surface) => panic!("{surface:?}"),
    }
}

fn same_camera(a: &Intrinsics, b: &Intrinsics) {
    for (a, b) in [(a.fx, b.fx), (a.fy, b.fy), (a.cx, b.cx), (a.cy, b.cy)] {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }
}

#[test]
fn every_folder_gives_the_frame_that_was_written_and_makes_a_bundle() {
    let frame = sources::frame();
    let known = Options { intrinsics: Some(*frame.intrinsics()), ..Options::default() };
    type Write = fn(&std::path::Path, &Frame);
    let folders: [(Kind, Write, Option<u32>, Options); 4] = [
        (Kind::ScannerApp, sources::scanner_app, Some(7), Options::default()),
        (Kind::Record3d, sources::record3d, Some(2), Options::default()),
        (Kind::StrayScanner, sources::stray, Some(5), Options::default()),
        (Kind::Pair, sources::pair, None, known),
    ];
    for (kind, write, number, options) in folders {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &frame);
        let imported = import(folder.path(), options).unwrap_or_else(|why| panic!("{kind}: {why}"));
        assert_eq!((imported.kind, imported.frame), (kind, number));
        let read = only_frame(&imported);
        same_camera(read.intrinsics(), frame.intrinsics());
        assert_eq!(read.image().dimensions(), frame.image().dimensions(), "{kind}");
        let off: f64 = read
            .image()
            .as_raw()
            .iter()
            .zip(frame.image().as_raw())
            .map(|(a, b)| f64::from(a.abs_diff(*b)))
            .sum();
        assert!(off / (frame.image().as_raw().len() as f64) < 4.0, "{kind}: another picture");
        for (a, b) in read.depth().metres().iter().zip(frame.depth().metres()) {
            // Millimetres in PNG; half floats step by 0.24 mm below half a metre, more above.
            assert!((a - b).abs() <= 0.000_51, "{kind}: {a} is not {b}");
        }
        let tells = matches!(kind, Kind::ScannerApp | Kind::StrayScanner);
        assert_eq!(read.confidence(), tells.then(|| frame.confidence()).flatten(), "{kind}");

        let written = bundle::write(read).expect("it is written");
        let back = bundle::read(&written).unwrap_or_else(|why| panic!("{kind}: {why}"));
        same_camera(back.intrinsics(), read.intrinsics());
    }
}

#[test]
fn a_description_stands_for_its_folder_and_a_frame_must_be_chosen_among_several() {
    let frame = sources::frame();
    let folder = tempfile::tempdir().expect("a folder");
    sources::scanner_app(folder.path(), &frame);
    sources::write(folder.path(), "frame_00012.json", "{}");
    let chosen = |path: &str, number| {
        let options = Options { frame: number, ..Options::default() };
        import(&folder.path().join(path), options)
            .map(|imported| imported.frame)
            .map_err(|why| why.to_string())
    };
    assert_eq!(chosen("frame_00007.json", None), Ok(Some(7)));
    assert_eq!(chosen("", Some(7)), Ok(Some(7)));
    let several = "the folder holds 2 frames, 7 to 12: choose one with --frame N";
    assert_eq!(chosen("", None), Err(several.to_owned()));
    let unknown = "there is no frame 8 among the 2 of this folder";
    assert_eq!(chosen("", Some(8)), Err(unknown.to_owned()));
}

#[test]
fn a_recording_of_the_front_camera_is_read_with_its_time() {
    let frame = sources::frame();
    let read = true_depth(&TrueDepth::of(&frame).ply()).expect("it is read");
    assert_eq!(read.image().dimensions(), (128, 96));
    assert_eq!(read.depth(), frame.depth());
    let camera = read.intrinsics();
    let scale = 128.0 / 320.0;
    assert!((camera.fx - frame.intrinsics().fx * scale).abs() < 1e-6);
    assert!((camera.cx - ((frame.intrinsics().cx + 0.5) * scale - 0.5)).abs() < 1e-6);
    let time = read.captured_at().expect("it says when").to_string();
    assert_eq!(time, "2019-05-01T20:02:49.5Z");
    let [column, row] = frame.depth_to_image(40.0, 50.0).map(|at| at.round() as u32);
    assert_eq!(read.image().get_pixel(40, 50), frame.image().get_pixel(column, row));
}

/// A lens that bends as phones' front cameras do: pixels of a straight picture are found farther
/// out, by a share that grows to 1.3 % at the corner.
#[test]
fn a_bent_recording_is_straightened() {
    let (width, height) = (128_u32, 96_u32);
    let centre = [62.0, 49.0];
    let corner = f64::hypot(128.0 - 62.0, 49.0_f64.max(96.0 - 49.0));
    let table: Vec<f64> = (0..42).map(|at| 0.013 * (f64::from(at) / 41.0).powi(2)).collect();
    let growth = |radius: f64| 0.013 * (radius / corner).powi(2);
    // What a straight picture would show: smooth, so that averaging four pixels changes nothing.
    let light = |[x, y]: [f64; 2]| 0.2 + 0.003 * x + 0.002 * y;
    let metres = |[x, y]: [f64; 2]| 0.3 + 0.0004 * x - 0.0002 * y;
    // Where in the straight picture a bent pixel comes from, by iteration.
    let straight = |bent: [f64; 2]| {
        let mut at = bent;
        for _ in 0..20 {
            let [x, y] = [at[0] - centre[0], at[1] - centre[1]];
            let by = 1.0 + growth(x.hypot(y));
            at = [centre[0] + (bent[0] - centre[0]) / by, centre[1] + (bent[1] - centre[1]) / by];
        }
        at
    };
    let mut recording = TrueDepth::of(&sources::frame());
    recording.colours.clear();
    recording.depths.clear();
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let from = straight([f64::from(x), f64::from(y)]);
        recording.colours.push([light(from) as f32; 3]);
        recording.depths.push(metres(from) as f32);
    }
    let camera = &mut recording.metadata["camera_intrinsics"];
    camera["lens_distortion_center_x"] = ((centre[0] + 0.5) * 8.0 - 0.5).into();
    camera["lens_distortion_center_y"] = ((centre[1] + 0.5) * 8.0 - 0.5).into();
    camera["lens_distortion_lookup_table"] = table.into();
    let read = true_depth(&recording.ply()).expect("it is read");

    let (mut worst_depth, mut worst_light, mut measured) = (0.0_f64, 0.0_f64, 0);
    for (y, x) in (2..height - 2).flat_map(|y| (2..width - 2).map(move |x| (y, x))) {
        let at = [f64::from(x), f64::from(y)];
        let Some(depth) = read.depth().at(x, y) else { continue };
        measured += 1;
        worst_depth = worst_depth.max((depth - metres(at)).abs());
        let shown = f64::from(read.image().get_pixel(x, y).0[0]);
        worst_light = worst_light.max((shown - light(at).powf(1.0 / 2.2) * 255.0).abs());
    }
    assert_eq!(measured, (width - 4) * (height - 4));
    assert!(worst_depth < 0.000_02, "{worst_depth} m");
    assert!(worst_light < 0.7, "{worst_light} of 255");
    // Unstraightened, depth would be off by more than five times as much.
    let bent = metres(straight([2.0, 2.0])) - metres([2.0, 2.0]);
    assert!(bent.abs() > 0.000_1, "{bent}");
}

const OBJ: &str = "# a mesh\nmtllib x.mtl\no thing\nv 0 0 0\nv 20 0 0 1.0\nv 20 20 0\nv 0 20 0\nvt 0 0\n\
    vn 0 0 1\nusemtl skin\ns off\nf 1/1/1 2//1 3/1 -1\n";

#[test]
fn meshes_of_either_kind_become_the_same_clean_ply() {
    let surface = obj(OBJ.as_bytes()).expect("it is read");
    assert_eq!(surface.faces, [[0, 1, 2], [0, 2, 3]]);
    assert!((surface.vertices[2][1] - 0.02).abs() < 1e-12, "millimetres are told by the span");
    let painted = obj(b"v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nf 1 2 3\n").expect("read");
    assert_eq!(painted.vertex_colours, Some(vec![[255, 0, 0], [0, 255, 0], [0, 0, 255]]));

    for surface in [surface, painted] {
        let written = ply::write(&surface).expect("it is written");
        let back = ply::read(&written).expect("it is read");
        assert_eq!(back.vertices, surface.vertices);
        assert_eq!(back.faces, surface.faces);
        assert_eq!(back.vertex_colours, surface.vertex_colours);
        assert_eq!(written, ply::write(&back).expect("it is written"), "clean stays clean");
    }
}
