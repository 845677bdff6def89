//! `ledger scan`: captures of wounds, made and measured at the command line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use domain::wound::Measurement;
use projections::wound::bundle;
use projections::wound::capture::{CAPTURE_BYTES_MAX, Capture};
use projections::wound::importers::{ScannerAppFrame, scanner_app};
use projections::wound::phantom::{self, PhantomSpec, Truth, WoundSpec};
use projections::wound::pipeline::{WoundAnalyzer, decode};
use serde::Serialize;

use super::Verdict;
use super::output::Output;

#[derive(Debug, Subcommand)]
pub(super) enum Scan {
    /// Make a capture whose true area, depth and volume are known
    Phantom(Phantom),
    /// Measure a capture
    Measure(Measure),
}

/// Makes a capture of a phantom: a limb or flat skin with a wound of known figures, seen by a camera with
/// LiDAR-like noise. The same options give the same capture.
#[derive(Debug, Args)]
pub(super) struct Phantom {
    /// Everything that is left to chance follows from it
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Draw everything else from the seed too, over the whole range the accuracy is stated for
    #[arg(long)]
    random: bool,
    /// The wound's area in cm²; 0 is healthy skin
    #[arg(long, value_name = "CM2")]
    area: Option<f64>,
    /// The wound's depth in mm
    #[arg(long, value_name = "MM")]
    depth: Option<f64>,
    /// The limb's radius in cm; 0 is flat skin
    #[arg(long, value_name = "CM")]
    radius: Option<f64>,
    /// The camera's distance in cm
    #[arg(long, value_name = "CM")]
    distance: Option<f64>,
    /// The tilt of the skin against the camera in degrees
    #[arg(long, value_name = "DEGREES")]
    tilt: Option<f64>,
    /// How noisy the depth is; 1 is like a phone's LiDAR
    #[arg(long, value_name = "FACTOR")]
    noise: Option<f64>,
    /// Where the capture goes
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Measures a capture: a capture bundle (.tar), a PLY surface (.ply), or a frame of a 3D Scanner App
/// export (`frame_N.json` with its images beside it).
#[derive(Debug, Args)]
pub(super) struct Measure {
    /// Measure inside this polygon instead of the network's outline: JSON, [[x, y], …] in image pixels
    #[arg(long, value_name = "FILE")]
    outline: Option<PathBuf>,
    /// The capture
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
}

#[derive(Serialize)]
struct MadePhantom<'a> {
    file: &'a Path,
    bytes: usize,
    truth: Option<TrueFigures>,
}

#[derive(Serialize)]
struct TrueFigures {
    area_mm2: f64,
    perimeter_mm: f64,
    length_mm: f64,
    width_mm: f64,
    max_depth_mm: f64,
    volume_mm3: f64,
}

impl From<&Truth> for TrueFigures {
    fn from(truth: &Truth) -> Self {
        Self {
            area_mm2: truth.area_mm2,
            perimeter_mm: truth.perimeter_mm,
            length_mm: truth.length_mm,
            width_mm: truth.width_mm,
            max_depth_mm: truth.max_depth_mm,
            volume_mm3: truth.volume_mm3,
        }
    }
}

impl Scan {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Scan::Phantom(phantom) => phantom.run(output),
            Scan::Measure(measure) => measure.run(output),
        }
    }
}

impl Phantom {
    fn spec(&self) -> anyhow::Result<PhantomSpec> {
        let mut spec = if self.random {
            PhantomSpec::random(self.seed)
        } else {
            PhantomSpec { seed: self.seed, look: self.seed, ..PhantomSpec::default() }
        };
        let within = |name: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(value);
            }
            bail!("--{name} must lie between {low} and {high}")
        };
        if let Some(area) = self.area {
            let area_mm2 = 100.0 * within("area", area, 0.0, 60.0)?;
            let wound = spec.wound.take().or(PhantomSpec::default().wound);
            spec.wound =
                wound.filter(|_| area_mm2 > 0.0).map(|wound| WoundSpec { area_mm2, ..wound });
        }
        if let (Some(depth), Some(wound)) = (self.depth, spec.wound.as_mut()) {
            wound.depth_mm = within("depth", depth, 0.0, 20.0)?;
        }
        if let Some(radius) = self.radius {
            let radius_mm = 10.0 * within("radius", radius, 0.0, 20.0)?;
            spec.limb_radius_mm = (radius_mm > 0.0).then_some(radius_mm);
        }
        if let Some(distance) = self.distance {
            spec.distance_mm = 10.0 * within("distance", distance, 20.0, 100.0)?;
        }
        spec.tilt_deg =
            self.tilt.map_or(Ok(spec.tilt_deg), |tilt| within("tilt", tilt, 0.0, 60.0))?;
        spec.noise = self.noise.map_or(Ok(spec.noise), |noise| within("noise", noise, 0.0, 5.0))?;
        Ok(spec)
    }

    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let made = phantom::generate(&self.spec()?)?;
        let bytes = bundle::write(&made.capture)?;
        std::fs::write(&self.file, &bytes)
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        let truth = made.truth.as_ref().map(TrueFigures::from);
        let said = MadePhantom { file: &self.file, bytes: bytes.len(), truth };
        output.result(&said, |output| {
            output.line(format!("Wrote {} ({} bytes).", self.file.display(), said.bytes));
            match &said.truth {
                None => output.line("true       healthy skin, no wound"),
                Some(truth) => {
                    output.line(format!("area       {:.3} cm² (true)", truth.area_mm2 / 100.0));
                    output.line(format!("perimeter  {:.2} cm", truth.perimeter_mm / 10.0));
                    let (length, width) = (truth.length_mm / 10.0, truth.width_mm / 10.0);
                    output.line(format!("length     {length:.2} cm, width {width:.2} cm"));
                    output.line(format!("depth      {:.2} mm", truth.max_depth_mm));
                    output.line(format!("volume     {:.3} cm³", truth.volume_mm3 / 1000.0));
                }
            }
        })?;
        Ok(Verdict::InOrder)
    }
}

impl Measure {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let outline = self.outline.as_deref().map(read_outline).transpose()?;
        let capture = read_capture(&self.capture)?;
        let analyzer = WoundAnalyzer::embedded()?;
        match analyzer.measure(&capture, outline.as_deref()) {
            Ok(measurement) => {
                output.result(&measurement, |output| print_measurement(&measurement, output))?;
                Ok(Verdict::InOrder)
            }
            Err(rejection) => {
                let reason = rejection.reason();
                let said =
                    serde_json::json!({ "rejected": reason, "detail": rejection.to_string() });
                output.result(&said, |output| {
                    output.line(format!("not measured: {rejection} [{reason}]"));
                })?;
                Ok(Verdict::Findings)
            }
        }
    }
}

fn print_measurement(measured: &Measurement, output: &Output) {
    let cm = |um: u32| f64::from(um) / 1e4;
    let figure = |name: &str, value: f64, sd: f64, unit: &str| {
        output.line(format!("{name:<10} {value:>8.3} ± {sd:.3} {unit}"));
    };
    figure("area", measured.area_um2 as f64 / 1e8, measured.area_sd_um2 as f64 / 1e8, "cm²");
    figure("perimeter", cm(measured.perimeter_um), cm(measured.perimeter_sd_um), "cm");
    figure("length", cm(measured.length_um), cm(measured.length_sd_um), "cm");
    figure("width", cm(measured.width_um), cm(measured.width_sd_um), "cm");
    figure("depth", cm(measured.max_depth_um), cm(measured.max_depth_sd_um), "cm");
    figure("volume", measured.volume_nl as f64 / 1e6, measured.volume_sd_nl as f64 / 1e6, "cm³");
}

fn read_outline(file: &Path) -> anyhow::Result<Vec<[f64; 2]>> {
    let text = read_file(file)?;
    serde_json::from_slice(&text).with_context(|| {
        format!("{} is no outline: give JSON [[x, y], …] in image pixels", file.display())
    })
}

fn read_capture(file: &Path) -> anyhow::Result<Capture> {
    let kind = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let media_type = match kind {
        "tar" => bundle::MEDIA_TYPE,
        "ply" => bundle::PLY_MEDIA_TYPE,
        "json" => return Ok(Capture::from(read_scanner_app(file)?)),
        _ => bail!("a capture is a .tar bundle, a .ply surface, or a 3D Scanner App frame_N.json"),
    };
    decode(&read_file(file)?, media_type)
        .with_context(|| format!("{} cannot be measured", file.display()))
}

fn read_scanner_app(document: &Path) -> anyhow::Result<projections::wound::capture::Frame> {
    let name = document.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let number = name.strip_prefix("frame_").context("the document must be named frame_N.json")?;
    let beside =
        |prefix: &str, ending: &str| document.with_file_name(format!("{prefix}_{number}.{ending}"));
    let image = read_file(&beside("frame", "jpg"))?;
    let depth = read_file(&beside("depth", "png"))?;
    let confidence = beside("conf", "png");
    let confidence = confidence.exists().then(|| read_file(&confidence)).transpose()?;
    let text = read_file(document)?;
    let files = ScannerAppFrame {
        image: &image,
        document: &text,
        depth: &depth,
        confidence: confidence.as_deref(),
    };
    scanner_app(&files).with_context(|| format!("{} cannot be measured", document.display()))
}

fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(shown)?.len();
    if size > CAPTURE_BYTES_MAX as u64 {
        bail!("{} is larger than the {CAPTURE_BYTES_MAX} bytes a capture may have", file.display());
    }
    std::fs::read(file).with_context(shown)
}
