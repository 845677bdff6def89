//! `ledger scan`: captures of wounds, made and measured at the command line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use domain::wound::Measurement;
use serde::Serialize;
use wound::capture::{Capture, Intrinsics};
use wound::importers::{ImportError, Imported, Options, import};
use wound::limits::CAPTURE_BYTES_MAX;
use wound::phantom::{self, PhantomSpec, Truth, WoundSpec};
use wound::pipeline::WoundAnalyzer;
use wound::{bundle, ply};

use super::output::Output;
use super::sweep::Sweep;
use super::verdict::Verdict;

#[derive(Debug, Subcommand)]
pub(super) enum Scan {
    /// Make a capture whose true area, depth and volume are known
    Phantom(Phantom),
    /// Measure a capture
    Measure(Measure),
    /// Turn a capture of any kind into the form that is handed in
    Import(Import),
    /// Remove captures from the store that no scan in the log names
    Sweep(Sweep),
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

/// A capture of any kind: a capture bundle (.tar), a PLY or OBJ surface, a TrueDepth recording (.ply), the
/// folder of a 3D Scanner App scan, a Record3D export or a Stray Scanner recording, or a folder with one
/// picture and its depth. docs/captures.md describes them.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Which frame, where a folder holds several
    #[arg(long, value_name = "N")]
    frame: Option<u32>,
    /// The camera in pixels of the picture, where the capture does not say it: fx,fy,cx,cy
    #[arg(long, value_name = "FX,FY,CX,CY", value_parser = intrinsics)]
    intrinsics: Option<Intrinsics>,
    /// The capture, a file or a folder
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
}

/// Measures a capture of any kind.
#[derive(Debug, Args)]
pub(super) struct Measure {
    /// Measure inside this polygon instead of the network's outline: JSON, [[x, y], …] in image pixels
    #[arg(long, value_name = "FILE")]
    outline: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

/// Turns a capture of any kind into what is handed in: a frame becomes a capture bundle (.tar), a
/// surface a PLY (.ply). Nothing that says where or with which device it was taken is carried over.
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    source: Source,
    /// Where it goes, ending in .tar for a frame and in .ply for a surface
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct MadeImport<'a> {
    kind: String,
    frame: Option<u32>,
    file: &'a Path,
    media_type: &'static str,
    bytes: usize,
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
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        match self {
            Scan::Phantom(phantom) => phantom.run(output),
            Scan::Measure(measure) => measure.run(output),
            Scan::Import(import) => import.run(output),
            Scan::Sweep(sweep) => sweep.run(output).await,
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

impl Source {
    fn import(&self) -> Result<Imported, ImportError> {
        import(&self.capture, Options { frame: self.frame, intrinsics: self.intrinsics })
    }

    /// Tells why a capture is refused: for its content that is a finding, else a failure.
    fn report_refusal(&self, error: ImportError, output: &Output) -> anyhow::Result<Verdict> {
        if !matches!(
            error,
            ImportError::Capture(_) | ImportError::NoDepth { .. } | ImportError::Video { .. }
        ) {
            return Err(error).with_context(|| self.capture.display().to_string());
        }
        let reason = error.code();
        let detail = audit::chain(&error);
        let said = serde_json::json!({ "rejected": reason, "detail": detail });
        output.result(&said, |output| {
            output.line(format!("refused: {detail} [{reason}]"));
        })?;
        Ok(Verdict::Findings)
    }
}

impl Measure {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let outline = self.outline.as_deref().map(read_outline).transpose()?;
        let imported = match self.source.import() {
            Ok(imported) => imported,
            Err(error) => return self.source.report_refusal(error, output),
        };
        let analyzer = WoundAnalyzer::embedded()?;
        match analyzer.measure(&imported.capture, outline.as_deref()) {
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

impl Import {
    fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let imported = match self.source.import() {
            Ok(imported) => imported,
            Err(error) => return self.source.report_refusal(error, output),
        };
        let (bytes, media_type, ending) = match &imported.capture {
            Capture::Frame(frame) => (bundle::write(frame)?, bundle::MEDIA_TYPE, "tar"),
            Capture::Surface(surface) => (ply::write(surface)?, bundle::PLY_MEDIA_TYPE, "ply"),
        };
        if self.file.extension().is_none_or(|found| found != ending) {
            let kind = imported.kind;
            bail!("a {kind} becomes a .{ending} file: name it so, not {}", self.file.display());
        }
        std::fs::write(&self.file, &bytes)
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        let said = MadeImport {
            kind: imported.kind.to_string(),
            frame: imported.frame,
            file: &self.file,
            media_type,
            bytes: bytes.len(),
        };
        output.result(&said, |output| {
            let frame = said.frame.map(|number| format!(", frame {number}")).unwrap_or_default();
            let file = self.file.display();
            output
                .line(format!("Wrote {file} ({} bytes) from a {}{frame}.", said.bytes, said.kind));
        })?;
        Ok(Verdict::InOrder)
    }
}

fn intrinsics(text: &str) -> Result<Intrinsics, String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|word| word.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([fx, fy, cx, cy]) => Ok(Intrinsics { fx: *fx, fy: *fy, cx: *cx, cy: *cy }),
        _ => Err("give four numbers, as in 1597.9,1597.9,955.4,717.7".to_owned()),
    }
}

fn print_measurement(measured: &Measurement, output: &Output) {
    let cm = |um: u32| f64::from(um) / 1e4;
    let figure = |name: &str, value: f64, sd: f64, unit: &str| {
        output.line(format!("{name:<11} {value:>8.3} ± {sd:.3} {unit}"));
    };
    figure("area", measured.area_um2 as f64 / 1e8, measured.area_sd_um2 as f64 / 1e8, "cm²");
    figure("perimeter", cm(measured.perimeter_um), cm(measured.perimeter_sd_um), "cm");
    figure("length", cm(measured.length_um), cm(measured.length_sd_um), "cm");
    figure("width", cm(measured.width_um), cm(measured.width_sd_um), "cm");
    figure("depth", cm(measured.max_depth_um), cm(measured.max_depth_sd_um), "cm");
    figure("volume", measured.volume_nl as f64 / 1e6, measured.volume_sd_nl as f64 / 1e6, "cm³");
    if let Some(tissue) = measured.tissue {
        let sd = f64::from(tissue.sd.unwrap_or_default()) / 10.0;
        figure("granulation", f64::from(tissue.granulation) / 10.0, sd, "%");
        figure("slough", f64::from(tissue.slough) / 10.0, sd, "%");
    }
}

fn read_outline(file: &Path) -> anyhow::Result<Vec<[f64; 2]>> {
    let text = read_file(file)?;
    serde_json::from_slice(&text).with_context(|| {
        format!("{} is no outline: give JSON [[x, y], …] in image pixels", file.display())
    })
}

fn read_file(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = || format!("cannot read {}", file.display());
    let size = std::fs::metadata(file).with_context(shown)?.len();
    if size > CAPTURE_BYTES_MAX as u64 {
        bail!("{} is larger than the {CAPTURE_BYTES_MAX} bytes a capture may have", file.display());
    }
    std::fs::read(file).with_context(shown)
}
