//! Every file of real captures nobody here wrote: how it is read, or why it is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wound::capture::{Capture, Frame, Intrinsics, Surface};
use wound::geometry::{BoundaryError, Polygon, WOUND_YELLOW, measure_frame, measure_marked_faces};
use wound::importers::{ImportError, Imported, Options, import};

#[expect(clippy::print_stderr, reason = "a test tells its figures, or what it left out")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

pub(crate) fn data(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("LEDGER_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let folder = root.join(folder);
    if !folder.is_dir() {
        tell(&format!("left out: {} is not here (LEDGER_DATA)", folder.display()));
        return None;
    }
    Some(folder)
}

/// The shape on the board whose area is compared.
const SHAPE: &str = "rect_44x44mm";
const SHAPE_MM2: f64 = 1936.0;
/// The wound of the marked mesh.
const MARKED_MM2: f64 = 1801.4;

#[derive(Deserialize)]
struct Truth {
    frames: Vec<TrueFrame>,
}

#[derive(Deserialize)]
struct TrueFrame {
    frame: String,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
struct Shape {
    polygon_px: Vec<[f64; 2]>,
}

/// The outlines of one shape, by frame number.
fn outlines(root: &Path) -> BTreeMap<u32, Polygon> {
    let text =
        std::fs::read(root.join("3dscannerapp-lowres/ground_truth.json")).expect("it is there");
    let truth: Truth = serde_json::from_slice(&text).expect("it is read");
    let of = |mut it: TrueFrame| {
        let number = it.frame.strip_prefix("frame_")?.strip_suffix(".jpg")?.parse().ok()?;
        Some((number, Polygon::new(it.shapes.remove(SHAPE)?.polygon_px)?))
    };
    truth.frames.into_iter().filter_map(of).collect()
}

fn described(capture: &Capture) -> String {
    match capture {
        Capture::Frame(frame) => described_frame(frame),
        Capture::Surface(surface) => described_surface(surface),
    }
}

fn described_frame(frame: &Frame) -> String {
    let (width, height) = frame.image().dimensions();
    let depth = frame.depth();
    let known = depth.metres().iter().filter(|metres| **metres > 0.0);
    let share = 100.0 * known.count() as f64 / depth.metres().len() as f64;
    let Intrinsics { fx, fy, cx, cy } = frame.intrinsics();
    let confidence = if frame.confidence().is_some() { "confidence" } else { "no confidence" };
    format!(
        "{width}×{height}, depth {}×{} {share:.0} % known, {confidence}, f {fx:.0} {fy:.0} c {cx:.0} {cy:.0}",
        depth.width(),
        depth.height(),
    )
}

fn described_surface(surface: &Surface) -> String {
    let colours = match (&surface.vertex_colours, &surface.face_colours) {
        (_, Some(_)) => "coloured faces",
        (Some(_), None) => "coloured vertices",
        (None, None) => "no colours",
    };
    format!("{} vertices, {} faces, {colours}", surface.vertices.len(), surface.faces.len())
}

/// Coarse, so that it says whether the capture was read right, not how well it was measured.
fn compared(area_mm2: f64, true_mm2: f64) -> String {
    if (area_mm2 / true_mm2 - 1.0).abs() < 0.05 {
        format!("measured: within 5 % of {:.2} cm²", true_mm2 / 100.0)
    } else {
        format!("measured: {:.2} cm² instead of {:.2}", area_mm2 / 100.0, true_mm2 / 100.0)
    }
}

fn outcome(imported: &Imported, outline: Option<&Polygon>) -> String {
    let measured = match (&imported.capture, outline) {
        (Capture::Surface(surface), _) => {
            measure_marked_faces(surface, WOUND_YELLOW).map(|it| (it.area_mm2.value, MARKED_MM2))
        }
        (Capture::Frame(frame), Some(outline)) => {
            let error = BoundaryError { offset: 0.5, ragged: 0.5 };
            measure_frame(frame, outline, error).map(|it| (it.area_mm2.value, SHAPE_MM2))
        }
        (Capture::Frame(_), None) => return "decoded".to_owned(),
    };
    match measured {
        Ok((area, true_area)) => compared(area, true_area),
        Err(rejection) => {
            let reason = serde_json::to_value(rejection.reason()).expect("a reason has a code");
            format!("refused: {}", reason.as_str().unwrap_or_default())
        }
    }
}

fn row(read: &Result<Imported, ImportError>, outline: Option<&Polygon>) -> String {
    match read {
        Ok(imported) => {
            let (kind, outcome) = (imported.kind, outcome(imported, outline));
            format!("{kind} | {} | {outcome}", described(&imported.capture))
        }
        Err(error) => format!("- | - | refused: {}", error.code()),
    }
}

/// A file's path with N in the place of its number.
fn without_number(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let digit = |c: char| c.is_ascii_digit();
    match (file.find(digit), file.rfind(digit)) {
        (Some(first), Some(last)) => format!("{folder}/{}N{}", &file[..first], &file[last + 1..]),
        _ => path.to_owned(),
    }
}

/// All files below a folder, by path.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn every_real_capture_is_read_or_refused_for_the_right_reason() {
    let Some(root) = data("rgbd") else { return };
    let outlines = outlines(&root);
    let mut table = String::from("capture | read as | what it holds | outcome\n");
    let mut say = |name: &str, row: &str| writeln!(table, "{name} | {row}").expect("a line");

    // Folders, and the frames in them.
    let frame = |number| Options { frame: Some(number), ..Options::default() };
    for (folder, numbers) in [
        ("3dscannerapp-lowres", vec![0, 9, 18, 30, 39, 48, 57, 66, 75, 84]),
        ("record3d-export", (0..=360).step_by(40).collect()),
    ] {
        let path = root.join(folder);
        say(folder, &row(&import(&path, Options::default()), None));
        for number in numbers {
            let outline = outlines.get(&number).filter(|_| folder.starts_with("3dscanner"));
            let name = format!("{folder} --frame {number}");
            say(&name, &row(&import(&path, frame(number)), outline));
        }
    }
    for folder in
        ["facial-wound-mesh", "promptda-arkit", "standardcyborg-truedepth", "strayscanner-csv"]
    {
        say(folder, &row(&import(&root.join(folder), Options::default()), None));
    }
    let camera = Intrinsics { fx: 1600.0, fy: 1600.0, cx: 960.0, cy: 720.0 };
    let given = Options { intrinsics: Some(camera), ..Options::default() };
    let name = "promptda-arkit --intrinsics 1600,1600,960,720";
    say(name, &row(&import(&root.join("promptda-arkit"), given), None));

    // Every file by itself; parts of captures that differ in their numbers only are one line.
    let mut paths = Vec::new();
    files(&root, &mut paths);
    assert_eq!(paths.len(), 80, "the data are whole");
    let mut lines: BTreeMap<(String, String), usize> = BTreeMap::new();
    for path in &paths {
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        // The other frames' descriptions are the frames above.
        if name.contains("/frame_") && name.ends_with(".json") && !name.ends_with("_00000.json") {
            continue;
        }
        let read = import(path, Options::default());
        let number = name.split(['_', '.']).find_map(|part| part.parse().ok());
        let outline = number.and_then(|number| outlines.get(&number));
        let row = row(&read, outline.filter(|_| name.ends_with(".json")));
        let short = if read.is_ok() { name } else { without_number(&name) };
        *lines.entry((short, row)).or_default() += 1;
    }
    for ((name, row), count) in lines {
        let name = if count > 1 { format!("{name} ({count} files)") } else { name };
        say(&name, &row);
    }
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/wound"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("captures", table) });
}
