//! The tour: what is sent, what comes back, and how the wounds heal.

use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wound::bundle;
use wound::capture::Frame;
use wound::error::CaptureError;
use wound::phantom::{self, PhantomSpec};

use super::client::{ApiResponse, Client, ClientError};
use super::clinic::{Clinic, WoundCase};

/// How long the worker may take to answer all scans of a wound.
const MEASURED_WITHIN: Duration = Duration::from_secs(180);

/// Why the sample clinic could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// A request failed.
    #[error("a request failed")]
    Client(#[from] ClientError),
    /// A phantom could not be made.
    #[error("a phantom capture could not be made")]
    Phantom(#[from] CaptureError),
    /// The worker did not answer the scans.
    #[error("the scans were not measured within {} s: does `ledger worker` run?", .0.as_secs())]
    NotMeasured(Duration),
    /// The wound's document is not what the API promises.
    #[error("the wound's document cannot be read")]
    Document(#[from] serde_json::Error),
}

/// What was loaded.
#[derive(Debug, Serialize)]
pub struct Tour {
    /// Accounts registered.
    pub accounts: usize,
    /// Patients registered.
    pub patients: usize,
    /// Visits booked.
    pub appointments: usize,
    /// Scans handed in.
    pub scans: usize,
    /// The position of the last event that the tour caused itself.
    pub position: u64,
    /// How the wounds heal.
    pub healing: Vec<Healing>,
}

/// One wound's course.
#[derive(Debug, Serialize)]
pub struct Healing {
    /// Where and what it is, in the words of its opening.
    pub wound: String,
    /// The visits, oldest first.
    pub visits: Vec<HealingVisit>,
    /// What they say of the weeks to come, if anything.
    pub outlook: Option<HealingOutlook>,
    /// The course as a chart, SVG.
    #[serde(skip)]
    pub chart: Vec<u8>,
    /// The first measured scan with its outline, PNG.
    #[serde(skip)]
    pub overlay: Option<Vec<u8>>,
}

/// What the visits so far say of the weeks to come.
#[derive(Debug, Deserialize, Serialize)]
pub struct HealingOutlook {
    /// By how much the area has shrunk, or will have, four weeks after the first scan, in permille.
    pub four_week_reduction_permille: HealingBounds,
    /// When the wound closes, in days from the first scan.
    pub closure_days: Option<HealingBounds>,
}

/// A figure and the bounds that hold it nine times in ten.
#[derive(Debug, Deserialize, Serialize)]
pub struct HealingBounds {
    /// The best guess.
    pub value: i64,
    /// The lower bound.
    pub low: i64,
    /// The upper bound.
    pub high: i64,
}

/// One visit of a wound.
#[derive(Debug, Serialize)]
pub struct HealingVisit {
    /// When the scan was taken.
    pub date: Date,
    /// What was measured; nothing if the scan was rejected.
    pub figures: Option<VisitFigures>,
    /// Why it was not measured.
    pub rejected: Option<String>,
    /// By how much the area has shrunk since the first visit, in per cent.
    pub area_reduction_percent: Option<f64>,
    /// The phantom's true area, in cm².
    pub true_area_cm2: Option<f64>,
}

/// A measurement, in the units people use.
#[derive(Debug, Serialize)]
pub struct VisitFigures {
    /// Area in cm².
    pub area_cm2: f64,
    /// Its standard deviation.
    pub area_sd_cm2: f64,
    /// Length in cm.
    pub length_cm: f64,
    /// Width in cm.
    pub width_cm: f64,
    /// Maximum depth in mm.
    pub max_depth_mm: f64,
    /// Volume in cm³.
    pub volume_cm3: f64,
}

/// Loads the clinic, saying each step as it happens.
pub async fn load(
    url: &str,
    admin: (&str, &str),
    staff_password: &str,
    today: Date,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Tour, TourError> {
    let clinic = Clinic::on(today);
    let admin = Client::log_in(url, admin.0, admin.1, "SYSADMIN").await?;
    for staff in &clinic.staff {
        let account = json!({
            "login": staff.login, "display_name": staff.display_name, "password": staff_password,
        });
        let key = format!("account {}", staff.login);
        let registered = admin.command("/v1/accounts", &key, &account).await?;
        let path = format!("/v1/accounts/{}/roles", registered.text("stream_id")?);
        let granted =
            admin.command(&path, &format!("{key} role"), &json!({ "role": staff.role })).await?;
        say(&step_line(&format!("account with the role {}", staff.role), &granted));
    }

    let front_desk = Client::log_in(url, "front-desk", staff_password, "TREAT").await?;
    let mut patients = Vec::with_capacity(clinic.patients.len());
    for patient in &clinic.patients {
        let registered =
            front_desk.command("/v1/patients", &patient.key, &patient.registration).await?;
        say(&step_line(&format!("{} registered", patient.key), &registered));
        patients.push(registered.text("stream_id")?.to_owned());
    }
    let mut practitioners = Vec::with_capacity(clinic.practitioners.len());
    for (index, practitioner) in clinic.practitioners.iter().enumerate() {
        let key = format!("practitioner {index}");
        let registered = front_desk.command("/v1/practitioners", &key, practitioner).await?;
        say(&step_line(&format!("{key} registered"), &registered));
        practitioners.push(registered.text("stream_id")?.to_owned());
    }
    let site = front_desk.command("/v1/locations", "site", &clinic.site).await?;
    say(&step_line("site registered", &site));
    let mut rooms = Vec::new();
    for (index, room) in clinic.rooms(site.text("stream_id")?).iter().enumerate() {
        let key = format!("room {index}");
        let registered = front_desk.command("/v1/locations", &key, room).await?;
        say(&step_line(&format!("{key} registered"), &registered));
        rooms.push(registered.text("stream_id")?.to_owned());
    }
    let mut position = 0;
    for (index, visit) in clinic.week.iter().enumerate() {
        let key = format!("visit {index} from {}", visit.start);
        let (practitioner, room) = (&practitioners[visit.practitioner], &rooms[visit.room]);
        let booking = visit.booking(&patients[visit.patient], practitioner, room);
        let booked = front_desk.command("/v1/appointments", &key, &booking).await?;
        position = booked.position().unwrap_or(position);
        if index < 3 {
            let start = visit.start.strftime("%a %d %b %H:%M");
            say(&step_line(&format!("visit booked for {start}"), &booked));
        }
    }
    say(&format!("… {} visits booked for the coming week", clinic.week.len()));

    let clinician = Client::log_in(url, "clinician", staff_password, "TREAT").await?;
    let mut healing = Vec::with_capacity(clinic.wounds.len());
    for (index, case) in clinic.wounds.iter().enumerate() {
        let key = format!("wound {index} as of {today}");
        let (course, last) = wound(&clinician, case, &patients[case.patient], &key, say).await?;
        position = position.max(last);
        healing.push(course);
    }
    Ok(Tour {
        accounts: clinic.staff.len(),
        patients: patients.len(),
        appointments: clinic.week.len(),
        scans: clinic.wounds.iter().map(|case| case.visits.len()).sum(),
        position,
        healing,
    })
}

/// Opens a wound, hands in its scans, waits for the measurements and reads the course.
async fn wound(
    clinician: &Client,
    case: &WoundCase,
    patient_id: &str,
    key: &str,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(Healing, u64), TourError> {
    let mut opening = case.opening.clone();
    opening["patient_id"] = json!(patient_id);
    let opened = clinician.command("/v1/wounds", key, &opening).await?;
    say(&step_line("wound opened", &opened));
    let path = format!("/v1/wounds/{}", opened.text("stream_id")?);
    let mut position = opened.position().unwrap_or(0);
    let mut truths = Vec::with_capacity(case.visits.len());
    for (visit, (date, spec)) in case.visits.iter().enumerate() {
        let (bytes, true_area_cm2) = capture(spec.clone(), *date).await?;
        let size = bytes.len() / 1024;
        let scan = format!("{key} scan {visit}");
        let taken =
            clinician.capture(&format!("{path}/scans"), &scan, bundle::MEDIA_TYPE, bytes).await?;
        position = taken.position().unwrap_or(position);
        say(&step_line(&format!("scan of {date} handed in ({size} KiB)"), &taken));
        truths.push(true_area_cm2);
    }
    let document = measured(clinician, &path, position).await?;
    let shown = document["scans"].as_array().and_then(|scans| {
        let measured = scans.iter().find(|scan| scan["status"] == "measured")?;
        measured["id"].as_str()
    });
    let overlay = match shown {
        Some(scan) => {
            let overlay = format!("{path}/scans/{scan}/overlay.png");
            Some(clinician.read_picture(&overlay, position).await?)
        }
        None => None,
    };
    let kind = |member: &str| case.opening[member].as_str().unwrap_or_default().to_owned();
    let wound = format!("{} ({})", kind("etiology"), kind("site"));
    let mut healing = clinician.read(&format!("{path}/healing"), position).await?.body;
    let outlook = serde_json::from_value(healing["outlook"].take())?;
    let chart = clinician.read_picture(&format!("{path}/healing.svg"), position).await?;
    Ok((Healing { wound, visits: course(document, &truths)?, outlook, chart, overlay }, position))
}

/// A capture of a phantom, as the phone's app would send it, and the true area.
async fn capture(spec: PhantomSpec, date: Date) -> Result<(Vec<u8>, Option<f64>), TourError> {
    let made = tokio::task::spawn_blocking(move || {
        let made = phantom::generate(&spec)?;
        let mut parts = made.capture.into_parts();
        parts.captured_at =
            date.at(10, 30, 0, 0).to_zoned(TimeZone::UTC).map(|at| at.timestamp()).ok();
        let bytes = bundle::write(&Frame::try_new(parts)?)?;
        Ok((bytes, made.truth.map(|truth| truth.area_mm2 / 100.0)))
    });
    made.await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}

/// The wound's document, once no scan is pending.
async fn measured(client: &Client, path: &str, position: u64) -> Result<Value, TourError> {
    let begin = Instant::now();
    loop {
        let document = client.read(path, position).await?.body;
        let scans = document["scans"].as_array().map_or(&[][..], Vec::as_slice);
        if !scans.is_empty() && scans.iter().all(|scan| scan["status"] != "pending") {
            return Ok(document);
        }
        if begin.elapsed() > MEASURED_WITHIN {
            return Err(TourError::NotMeasured(MEASURED_WITHIN));
        }
        // Each look is a disclosure on record, so not too many of them.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[derive(Deserialize)]
struct WoundView {
    scans: Vec<ScanView>,
    healing: Vec<PointView>,
}

#[derive(Deserialize)]
struct ScanView {
    id: String,
    captured_at: jiff::Timestamp,
    measurements: Vec<MeasurementView>,
    rejections: Vec<RejectionView>,
}

#[derive(Deserialize)]
struct MeasurementView {
    figures: FiguresView,
}

#[derive(Deserialize)]
struct FiguresView {
    area_um2: f64,
    area_sd_um2: f64,
    length_um: f64,
    width_um: f64,
    max_depth_um: f64,
    volume_nl: f64,
}

#[derive(Deserialize)]
struct RejectionView {
    reason: String,
}

#[derive(Deserialize)]
struct PointView {
    scan_id: String,
    area_reduction_permille: Option<f64>,
}

fn course(document: Value, truths: &[Option<f64>]) -> Result<Vec<HealingVisit>, TourError> {
    let wound: WoundView = serde_json::from_value(document)?;
    let visits = wound.scans.into_iter().enumerate().map(|(index, scan)| {
        let point = wound.healing.iter().find(|point| point.scan_id == scan.id);
        HealingVisit {
            date: scan.captured_at.to_zoned(TimeZone::UTC).date(),
            figures: scan
                .measurements
                .last()
                .map(|measurement| in_common_units(&measurement.figures)),
            rejected: scan.rejections.last().map(|rejection| rejection.reason.clone()),
            area_reduction_percent: point
                .and_then(|point| point.area_reduction_permille)
                .map(|permille| permille / 10.0),
            true_area_cm2: truths.get(index).copied().flatten(),
        }
    });
    Ok(visits.collect())
}

fn in_common_units(figures: &FiguresView) -> VisitFigures {
    VisitFigures {
        area_cm2: figures.area_um2 / 1e8,
        area_sd_cm2: figures.area_sd_um2 / 1e8,
        length_cm: figures.length_um / 1e4,
        width_cm: figures.width_um / 1e4,
        max_depth_mm: figures.max_depth_um / 1e3,
        volume_cm3: figures.volume_nl / 1e6,
    }
}

/// A step in one line: what it was, the position it got, and the leaf that proves it.
fn step_line(what: &str, answer: &ApiResponse) -> String {
    let position =
        answer.position().map_or_else(|| "-".to_owned(), |position| position.to_string());
    let events = answer.body["events"].as_array().map_or(0, Vec::len);
    let proof = answer.body["events"][0]["proof"].as_array().map_or(0, Vec::len);
    let replayed = if answer.body["replayed"] == true { ", done before" } else { "" };
    format!(
        "{what:<44} position {position:>5}  receipt: {events} event, proof of {proof} hashes{replayed}"
    )
}
