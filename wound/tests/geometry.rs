//! How well wounds are measured: on phantoms, whose true figures are known, and on captures of a
//! printed board with shapes of known size.

use std::path::{Path, PathBuf};

use image::RgbImage;
use wound::capture::{Capture, Frame};
use wound::geometry::{
    BoundaryError, Figures, Polygon, ScanRejection, WOUND_YELLOW, measure_frame,
    measure_marked_faces,
};
use wound::importers::{ScannerAppFrame, scanner_app};
use wound::network::{Segmentation, embedded_card};
use wound::phantom::{self, Phantom, PhantomSpec, Truth, WoundSpec};
use wound::pipeline::{self, Boundary};
use wound::ply;
use wound::training::trial::{self, Case, Row};

/// A true outline is off by no more than rounding.
const TRUE_OUTLINE: BoundaryError = BoundaryError { offset: 0.0, ragged: 0.0 };
const PHANTOMS: u64 = 300;
/// Below a tenth of a millilitre the sensor's own noise is larger than the wound.
const VOLUME_FROM_MM3: f64 = 100.0;

#[expect(clippy::print_stderr, reason = "a test tells its figures, or what it left out")]
fn tell(line: &str) {
    eprintln!("{line}");
}

fn data(folder: &str) -> Option<PathBuf> {
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

fn made(spec: &PhantomSpec) -> Phantom {
    phantom::generate(spec).expect("the spec is one a phantom can be made of")
}

/// The picture plays no part where the true outline is given, so it is small.
fn small(spec: PhantomSpec) -> PhantomSpec {
    PhantomSpec { image_size: [320, 240], ..spec }
}

fn measured(phantom: &Phantom) -> Result<Figures, ScanRejection> {
    let outline = Polygon::new(phantom.outline.clone()).expect("a phantom's outline is sound");
    measure_frame(&phantom.capture, &outline, TRUE_OUTLINE)
}

/// The value below which a share of the errors lies.
fn quantile(errors: &[f64], share: f64) -> f64 {
    let mut sorted: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    trial::quantile(&sorted, share)
}

fn row(table: &[Row], measure: &str) -> Row {
    let found = table.iter().find(|row| row.measure == measure);
    found.expect("the table has every measure").clone()
}

fn told(what: &str, table: &[Row]) {
    for row in table {
        tell(&format!(
            "{what}: {} of {}: median {:.2} {unit}, worst decile {:.2} {unit}, worst {:.2} {unit}, \
             90 % intervals cover {:.1} %",
            row.measure,
            row.count,
            row.median,
            row.worst_decile,
            row.worst,
            row.covered,
            unit = row.unit,
        ));
    }
}

#[test]
fn phantoms_are_measured_as_exactly_as_promised() {
    let cases = trial::with_true_outlines(0..PHANTOMS, PhantomSpec::random).expect("they are made");
    assert_eq!(cases.len() as u64, PHANTOMS);
    for Case { seed, figures, .. } in &cases {
        assert!(figures.is_ok(), "phantom {seed}: {figures:?}");
    }
    let table = trial::table(&cases, VOLUME_FROM_MM3);
    told("phantoms", &table);
    let area = row(&table, "area");
    assert!(area.median <= 2.0 && area.worst_decile <= 5.0);
    assert!(row(&table, "perimeter").worst_decile <= 5.0);
    assert!(row(&table, "length").worst <= 2.0 && row(&table, "width").worst <= 2.0);
    assert!(row(&table, "depth").median <= 1.0);
    assert!(row(&table, "volume").median <= 10.0);
    // From a millilitre on even the median is well below, and most wounds stay within 15 %.
    let large = row(&trial::table(&cases, 1000.0), "volume");
    told("phantoms from 1 ml", std::slice::from_ref(&large));
    assert!(large.median <= 5.0 && large.worst_decile <= 15.0);
    for row in &table {
        assert!((85.0..=95.0).contains(&row.covered), "{}: {:.1} %", row.measure, row.covered);
    }
}

/// Balls of a heel's size: skin that curves both ways, which no cylinder fits.
fn heel(seed: u64) -> PhantomSpec {
    let spec = PhantomSpec::random(seed);
    let radius = 35.0 + (seed % 10) as f64 * 5.0;
    let area_mm2 = radius.powi(2) * (0.06 + 0.03 * (seed % 5) as f64);
    let depth_mm = 1.0 + (seed % 4) as f64;
    let wound = spec.wound.clone().map(|wound| WoundSpec { area_mm2, depth_mm, ..wound });
    PhantomSpec {
        limb_radius_mm: Some(radius),
        domed: true,
        wound,
        tilt_deg: spec.tilt_deg.min(25.0),
        ..spec
    }
}

#[test]
fn skin_that_curves_both_ways_is_measured_too() {
    let cases = trial::with_true_outlines(0..60, heel).expect("they are made");
    for Case { seed, figures, .. } in &cases {
        assert!(figures.is_ok(), "heel {seed}: {figures:?}");
    }
    let table = trial::table(&cases, VOLUME_FROM_MM3);
    told("heels", &table);
    let area = row(&table, "area");
    assert!(area.median <= 2.0 && area.worst_decile <= 5.0);
    assert!(row(&table, "length").worst_decile <= 2.0);
    assert!(row(&table, "width").worst_decile <= 2.0);
    assert!(row(&table, "depth").median <= 1.0);
}

#[test]
fn an_ideal_sensor_leaves_almost_no_error() {
    for (radius, tilt, depth_mm) in
        [(None, 0.0, 6.0), (Some(45.0), 15.0, 6.0), (Some(80.0), 35.0, 3.0)]
    {
        let base = PhantomSpec::default();
        let wound = WoundSpec { depth_mm, area_mm2: 1500.0, ..base.wound.clone().expect("one") };
        let spec = PhantomSpec {
            limb_radius_mm: radius,
            tilt_deg: tilt,
            wound: Some(wound),
            noise: 0.0,
            ..base
        };
        let phantom = made(&small(spec));
        let truth = phantom.truth.expect("it has a wound");
        let figures = measured(&phantom).expect("an ideal capture is measured");
        let off = |value: f64, truth: f64| (value / truth - 1.0).abs();
        let what = format!("radius {radius:?}: {figures:?} for {truth:?}");
        assert!(off(figures.area_mm2.value, truth.area_mm2) < 0.003, "{what}");
        assert!(off(figures.perimeter_mm.value, truth.perimeter_mm) < 0.003, "{what}");
        assert!((figures.length_mm.value - truth.length_mm).abs() < 0.2, "{what}");
        assert!((figures.width_mm.value - truth.width_mm).abs() < 0.2, "{what}");
        assert!(off(figures.volume_mm3.value, truth.volume_mm3) < 0.05, "{what}");
        assert!((figures.max_depth_mm.value - truth.max_depth_mm).abs() < 0.6, "{what}");
    }
}

#[test]
fn a_phantoms_truth_is_that_of_its_formulas() {
    // An ellipse on flat skin, a bowl: area as asked, V = A·D/2, known perimeter.
    let spec = small(PhantomSpec {
        limb_radius_mm: None,
        wound: Some(WoundSpec {
            area_mm2: std::f64::consts::PI * 30.0 * 20.0,
            depth_mm: 5.0,
            aspect: 1.5,
            irregularity: 0.0,
            rotation_deg: 90.0,
            wall: 2.0,
            slough: 0.0,
            necrosis: 0.0,
        }),
        ..PhantomSpec::default()
    });
    let Truth { area_mm2, perimeter_mm, length_mm, width_mm, max_depth_mm, volume_mm3 } =
        made(&spec).truth.expect("it has a wound");
    let near = |value: f64, truth: f64| (value / truth - 1.0).abs() < 1e-3;
    assert!(near(area_mm2, 1884.956));
    assert!(near(perimeter_mm, 158.654), "{perimeter_mm}");
    assert!(near(length_mm, 60.0) && near(width_mm, 40.0), "{length_mm} {width_mm}");
    assert!(near(max_depth_mm, 5.0) && near(volume_mm3, 1884.956 * 2.5), "{volume_mm3}");
}

#[test]
fn the_same_seed_gives_the_same_capture_and_another_another() {
    let (one, again, other) = (
        made(&small(PhantomSpec::random(3))),
        made(&small(PhantomSpec::random(3))),
        made(&small(PhantomSpec::random(4))),
    );
    assert!(one.capture.image() == again.capture.image());
    assert!(one.capture.depth() == again.capture.depth());
    assert!(one.capture.image() != other.capture.image());
    // The mask is the outline's inside.
    let outline = Polygon::new(one.outline).expect("it is sound");
    let marked = one.mask.pixels().filter(|pixel| pixel.0[0] > 0).count() as f64;
    assert!((marked / outline.area() - 1.0).abs() < 0.05);
}

#[test]
fn a_healing_series_shrinks() {
    let areas: Vec<f64> = phantom::healing_series(7, 6)
        .into_iter()
        .map(|spec| measured(&made(&small(spec))).expect("it is measured").area_mm2.value)
        .collect();
    assert!(areas.windows(2).all(|pair| pair[1] < pair[0]), "{areas:?}");
}

/// A frame with one part exchanged.
fn changed(frame: &Frame, change: impl FnOnce(&mut Vec<f32>, &mut Vec<u8>)) -> Frame {
    let mut parts = frame.clone().into_parts();
    let (width, height) = (parts.depth.width(), parts.depth.height());
    let mut metres = parts.depth.metres().to_vec();
    let mut confidence = parts.confidence.take().expect("a phantom has confidence");
    change(&mut metres, &mut confidence);
    parts.depth =
        wound::capture::DepthMap::try_new(width, height, metres).expect("the size is unchanged");
    parts.confidence = Some(confidence);
    Frame::try_new(parts).expect("the frame stays sound")
}

#[test]
fn what_cannot_be_trusted_is_refused_with_its_reason() {
    let phantom = made(&small(PhantomSpec::default()));
    let outline = Polygon::new(phantom.outline.clone()).expect("it is sound");
    let of = |frame: &Frame, outline: &Polygon| measure_frame(frame, outline, TRUE_OUTLINE);
    let frame = &phantom.capture;

    let no_depth = changed(frame, |metres, _| metres.fill(0.0));
    assert_eq!(of(&no_depth, &outline), Err(ScanRejection::DepthMissing { percent: 100 }));
    let doubtful = changed(frame, |_, confidence| confidence.fill(0));
    assert_eq!(of(&doubtful, &outline), Err(ScanRejection::LowConfidence { percent: 100 }));
    let lonely = changed(frame, |_, confidence| {
        for (index, value) in (0_u32..).zip(confidence) {
            let (column, row) = (f64::from(index % 256), f64::from(index / 256));
            if !outline.contains(frame.depth_to_image(column, row)) {
                *value = 0;
            }
        }
    });
    assert_eq!(of(&lonely, &outline), Err(ScanRejection::SkinMissing));
    let near = changed(frame, |metres, _| metres.iter_mut().for_each(|z| *z *= 0.25));
    assert!(matches!(of(&near, &outline), Err(ScanRejection::TooClose { .. })));
    let far = changed(frame, |metres, _| metres.iter_mut().for_each(|z| *z *= 4.0));
    assert!(matches!(of(&far, &outline), Err(ScanRejection::TooFar { .. })));
    let rough = changed(frame, |metres, _| {
        metres
            .iter_mut()
            .zip(0_u32..)
            .for_each(|(z, i)| *z += ((i.wrapping_mul(2_654_435_761) >> 16) % 61) as f32 / 1000.0);
    });
    assert_eq!(of(&rough, &outline), Err(ScanRejection::Inconsistent));

    let shifted = |by: f64| {
        let points = phantom.outline.iter().map(|[x, y]| [x + by, *y]).collect();
        Polygon::new(points).expect("it is sound")
    };
    assert_eq!(of(frame, &shifted(160.0)), Err(ScanRejection::CutOff));
    let bow_tie =
        Polygon::new(vec![[100.0, 100.0], [200.0, 140.0], [200.0, 100.0], [100.0, 150.0]]);
    assert_eq!(of(frame, &bow_tie.expect("it has area")), Err(ScanRejection::Outline));
    let dot = Polygon::new(vec![[160.0, 120.0], [161.0, 120.0], [160.0, 121.0]]);
    assert!(matches!(of(frame, &dot.expect("it has area")), Err(ScanRejection::TooFar { .. })));

    // The depth of another moment: the wound's hollow lies aside.
    let deep =
        WoundSpec { depth_mm: 8.0, area_mm2: 900.0, ..PhantomSpec::default().wound.expect("one") };
    let deep = made(&small(PhantomSpec { wound: Some(deep), ..PhantomSpec::default() }));
    let moved = changed(&deep.capture, |metres, _| metres.rotate_right(7));
    let deep_outline = Polygon::new(deep.outline.clone()).expect("it is sound");
    assert!(of(&deep.capture, &deep_outline).is_ok());
    let refused = of(&moved, &deep_outline);
    assert!(matches!(refused, Err(ScanRejection::Moved { mm: 3..=12 })), "{refused:?}");

    let oblique = PhantomSpec {
        limb_radius_mm: None,
        tilt_deg: 70.0,
        distance_mm: 300.0,
        noise: 0.2,
        ..PhantomSpec::default()
    };
    let oblique = made(&small(oblique));
    let refused = measured(&oblique);
    assert!(
        matches!(refused, Err(ScanRejection::TooOblique { .. } | ScanRejection::SkinMissing)),
        "{refused:?}"
    );
}

/// What a network would say that sees discs of wound, each at a place with a radius, in cells.
fn seen(discs: &[[f64; 3]], wound_probability: f32) -> Segmentation {
    let (width, height) = (80, 60);
    let probability = (0..width * height)
        .map(|cell| {
            let (x, y) = (f64::from(cell % width), f64::from(cell / width));
            let inside = discs.iter().map(|[u, v, r]| r - (x - u).hypot(y - v) + 0.5);
            inside.fold(0.0, f64::max).clamp(0.0, 1.0) as f32
        })
        .collect();
    Segmentation { width, height, probability, wound_probability }
}

#[test]
fn a_picture_without_one_wound_is_refused() {
    let phantom = made(&small(PhantomSpec::default()));
    let capture = Capture::from(phantom.capture);
    let of =
        |seen: &Segmentation| pipeline::measure(&capture, Boundary::Network(seen, embedded_card()));
    assert!(of(&seen(&[[40.0, 30.0, 2.8]], 0.9)).is_ok());
    assert_eq!(of(&seen(&[], 0.9)), Err(ScanRejection::NoWound));
    assert_eq!(of(&seen(&[[40.0, 30.0, 2.8]], 0.1)), Err(ScanRejection::NoWound));
    let two = seen(&[[34.0, 30.0, 2.8], [46.0, 30.0, 2.5]], 0.9);
    assert_eq!(of(&two), Err(ScanRejection::SeveralWounds { count: 2 }));
    assert_eq!(of(&seen(&[[78.5, 30.0, 2.8]], 0.9)), Err(ScanRejection::CutOff));
    // A person's choice settles which of them is meant.
    assert!(pipeline::measure(&capture, Boundary::Outline(&phantom.outline)).is_ok());
}

#[test]
fn figures_reach_the_log_in_its_units() {
    let phantom = made(&small(PhantomSpec::default()));
    let truth = phantom.truth.expect("it has a wound");
    let capture = Capture::from(phantom.capture);
    let measurement = pipeline::measure(&capture, Boundary::Outline(&phantom.outline))
        .expect("the default phantom is measured");
    assert!((measurement.area_cm2() / (truth.area_mm2 / 100.0) - 1.0).abs() < 0.05);
    assert!((measurement.length_cm() * 10.0 - truth.length_mm).abs() < 1.5);
    assert!((measurement.max_depth_cm() * 10.0 - truth.max_depth_mm).abs() < 1.5);
    assert!((measurement.volume_cm3() * 1000.0 / truth.volume_mm3 - 1.0).abs() < 0.3);
    assert_eq!(measurement.axis, domain::wound::Axis::HeadToToe);
    assert_eq!(measurement.boundary, domain::wound::Boundary::Outline);
    assert!(measurement.area_sd_um2 > 0 && measurement.volume_sd_nl > 0);
    assert_eq!(measurement.outline.len(), 256);
}

#[derive(serde::Deserialize)]
struct Board {
    frames: Vec<BoardFrame>,
}

#[derive(serde::Deserialize)]
struct BoardFrame {
    frame: String,
    shapes: std::collections::BTreeMap<String, BoardShape>,
}

#[derive(serde::Deserialize)]
struct BoardShape {
    polygon_px: Vec<[f64; 2]>,
    area_cm2: f64,
    perimeter_mm: f64,
}

fn board_frame(folder: &Path, name: &str) -> Frame {
    let number = name.trim_start_matches("frame_").trim_end_matches(".jpg");
    let file =
        |name: String| std::fs::read(folder.join(name)).expect("the frame's files belong together");
    let (picture, document) = (file(name.to_owned()), file(format!("frame_{number}.json")));
    let (depth, confidence) =
        (file(format!("depth_{number}.png")), file(format!("conf_{number}.png")));
    scanner_app(&ScannerAppFrame {
        image: &picture,
        document: &document,
        depth: &depth,
        confidence: Some(&confidence),
    })
    .expect("the frame is read")
}

#[test]
fn shapes_on_a_printed_board_have_their_size() {
    let Some(folder) = data("rgbd/3dscannerapp-lowres") else { return };
    let truth = std::fs::read(folder.join("ground_truth.json")).expect("it belongs to the frames");
    let board: Board = serde_json::from_slice(&truth).expect("it is read");
    let (mut area, mut perimeter, mut depth) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hollow, mut beyond) = (Vec::new(), Vec::new());
    for BoardFrame { frame, shapes } in &board.frames {
        let captured = board_frame(&folder, frame);
        for (name, shape) in shapes {
            let outline = Polygon::new(shape.polygon_px.clone()).expect("the shape is sound");
            let error = BoundaryError { offset: 0.5, ragged: 0.5 };
            let figures = measure_frame(&captured, &outline, error)
                .unwrap_or_else(|why| panic!("{frame} {name}: {why}"));
            area.push(figures.area_mm2.value / (100.0 * shape.area_cm2) - 1.0);
            perimeter.push(figures.perimeter_mm.value / shape.perimeter_mm - 1.0);
            // The largest shape, four times the largest wound stated for, leaves two centimetres
            // of board around it, and from that the flat of 20 cm is extrapolated.
            if shape.area_cm2 < 200.0 {
                depth.push(figures.max_depth_mm.value);
                hollow.push(figures.volume_mm3.value / figures.area_mm2.value);
            } else {
                beyond.push(figures.max_depth_mm.value);
            }
        }
    }
    let worst = |errors: &[f64]| quantile(errors, 1.0);
    tell(&format!(
        "{} shapes on a board: area {:.2} % (worst {:.2} %), perimeter {:.2} % (worst {:.2} %); \
         to 97 cm²: depth {:.2} mm (worst {:.2} mm), volume per area {:.2} mm (worst {:.2} mm); \
         261 cm²: depth {:.2} mm (worst {:.2} mm)",
        area.len(),
        100.0 * quantile(&area, 0.5),
        100.0 * worst(&area),
        100.0 * quantile(&perimeter, 0.5),
        100.0 * worst(&perimeter),
        quantile(&depth, 0.5),
        worst(&depth),
        quantile(&hollow, 0.5),
        worst(&hollow),
        quantile(&beyond, 0.5),
        worst(&beyond),
    ));
    assert_eq!((area.len(), depth.len(), beyond.len()), (60, 50, 10));
    assert!(quantile(&area, 0.5) <= 0.015 && worst(&area) <= 0.04);
    assert!(quantile(&perimeter, 0.5) <= 0.03 && worst(&perimeter) <= 0.03);
    assert!(worst(&depth) <= 1.0 && worst(&beyond) <= 2.5);
    assert!(quantile(&hollow, 0.5) <= 0.05 && worst(&hollow) <= 0.6);
}

#[test]
fn the_marked_faces_of_a_mesh_are_the_wound() {
    let Some(folder) = data("rgbd/facial-wound-mesh") else { return };
    let unpacked = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(folder.join("CTM00001_2.ply.gz"))
        .output()
        .expect("gzip is on every machine that has the data");
    let bytes = unpacked.stdout;
    let surface = ply::read(&bytes).expect("the mesh is read");
    assert_eq!((surface.vertices.len(), surface.faces.len()), (3933, 7862));
    let figures = measure_marked_faces(&surface, WOUND_YELLOW).expect("faces are marked");
    assert!((figures.area_mm2.value / 1801.4 - 1.0).abs() < 0.001, "{figures:?}");
    let none = measure_marked_faces(&surface, [1, 2, 3]);
    assert_eq!(none, Err(ScanRejection::SurfaceUnmarked));
}

#[test]
fn a_frame_without_intrinsics_is_refused() {
    let folder = data("rgbd/promptda-arkit");
    let picture = RgbImage::from_pixel(256, 192, image::Rgb([9, 9, 9]));
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("it is encoded");
    let jpeg = match &folder {
        Some(folder) => std::fs::read(folder.join("image.jpg")).expect("it is there"),
        None => jpeg.into_inner(),
    };
    let depth = folder.map_or_else(Vec::new, |folder| {
        std::fs::read(folder.join("arkit_depth.png")).expect("it is there")
    });
    let files = ScannerAppFrame {
        image: &jpeg,
        document: b"{\"time\": 1}",
        depth: &depth,
        confidence: None,
    };
    let refused = scanner_app(&files).expect_err("there are no intrinsics");
    assert_eq!(refused.code(), "capture-intrinsics");
}
