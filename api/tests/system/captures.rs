//! The command line takes captures of any kind, turns them into what is handed in, and sweeps those that never came to be
//! of a scan.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;
use wound::{bundle, ply};

use crate::support::{Clinic, phantom};

fn scan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ledger"))
        .args(["--json", "scan"])
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn succeeded(arguments: &[&str]) -> Value {
    let output = scan(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the program says on its way out with a failure.
fn failed(arguments: &[&str]) -> String {
    let output = scan(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

#[test]
fn a_picture_and_its_depth_become_a_bundle_that_measures_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (phantom, pair, made, outline) =
        (at("phantom.tar"), at("pair"), at("made.tar"), at("outline.json"));
    succeeded(&["phantom", "--seed", "3", "--area", "6", text(&phantom)]);
    let whole = std::fs::read(&phantom).expect("it was written");
    let camera = *bundle::read(&whole).expect("a bundle").intrinsics();
    std::fs::create_dir(&pair).expect("a folder");
    tar::Archive::new(&whole[..]).unpack(&pair).expect("the bundle's files");
    std::fs::remove_file(pair.join("capture.json")).expect("a bundle has one");

    let refused = failed(&["measure", text(&pair)]);
    assert!(
        refused.contains("capture-intrinsics") && refused.contains("--intrinsics"),
        "{refused}"
    );
    let intrinsics = format!("{},{},{},{}", camera.fx, camera.fy, camera.cx, camera.cy);
    let said = succeeded(&["import", "--intrinsics", &intrinsics, text(&pair), text(&made)]);
    assert_eq!(said["kind"], "picture with depth");
    assert_eq!(said["media_type"], bundle::MEDIA_TYPE);
    let back = bundle::read(&std::fs::read(&made).expect("it was written")).expect("a bundle");
    assert_eq!(*back.intrinsics(), camera);

    let circle: Vec<[f64; 2]> = (0..24)
        .map(|step| (f64::from(step) * 15.0).to_radians().sin_cos())
        .map(|(sin, cos)| [480.0 + 40.0 * cos, 360.0 + 40.0 * sin])
        .collect();
    std::fs::write(&outline, serde_json::to_vec(&circle).expect("JSON")).expect("a file");
    let area = |source: &[&str]| {
        let arguments = [&["measure", "--outline", text(&outline)], source].concat();
        succeeded(&arguments)["area_um2"].as_f64().expect("an area")
    };
    let (of_phantom, of_made) = (area(&[text(&phantom)]), area(&[text(&made)]));
    let of_pair = area(&["--intrinsics", &intrinsics, text(&pair)]);
    assert!(of_phantom > 1e8, "{of_phantom} µm²");
    assert!((of_made / of_phantom - 1.0).abs() < 1e-6, "{of_made} of {of_phantom} µm²");
    assert!((of_pair / of_phantom - 1.0).abs() < 1e-6, "{of_pair} of {of_phantom} µm²");
}

#[test]
fn a_mesh_becomes_a_ply_and_what_is_no_capture_is_told_what_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (mesh, tar, clean) = (at("mesh.obj"), at("mesh.tar"), at("mesh.ply"));
    std::fs::write(&mesh, "# 52.516275N\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").expect("a file");
    let said = failed(&["import", text(&mesh), text(&tar)]);
    assert!(said.contains("becomes a .ply file") && !tar.exists(), "{said}");
    succeeded(&["import", text(&mesh), text(&clean)]);
    let surface = ply::read(&std::fs::read(&clean).expect("it was written")).expect("a surface");
    assert_eq!(surface.faces, [[0, 1, 2]]);

    let said = failed(&["measure", text(folder.path())]);
    assert!(said.contains("Stray Scanner") && said.contains("capture bundle"), "{said}");
    let said = failed(&["measure", text(&mesh)]);
    assert!(said.contains("surface-unusable"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_takes_what_a_crash_left_and_no_capture_of_a_scan() {
    let clinic = Clinic::start().await;
    let patient = clinic.register("Swept", "Sven", "S-1").await;
    let wound = clinic.wound(&patient).await;
    clinic.staff.capture(Uuid::now_v7(), &format!("{wound}/scans"), &phantom(1)).await.done();
    let recorded = clinic.instance.captures();
    let [named] = recorded.as_slice() else { panic!("one capture: {recorded:?}") };
    // What a server that dies between store and log leaves: a capture of the same patient, and no event.
    let left = named.with_file_name(Uuid::new_v4().to_string());
    std::fs::copy(named, &left).expect("a capture beside it");
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 3_600);
    for file in [named, &left] {
        let file = File::options().write(true).open(file).expect("a capture");
        file.set_modified(long_ago).expect("an old capture");
    }

    let sweep = async |options: &[&str]| {
        let arguments = [&["--json", "scan", "sweep"], options].concat();
        let said = clinic.instance.run(arguments).await.succeeded();
        serde_json::from_str::<Value>(&said.stdout).expect("JSON")
    };
    let (one, none) =
        (json!({ "unnamed": 1, "removed": false }), json!({ "unnamed": 0, "removed": true }));
    assert_eq!(sweep(&["--dry-run"]).await, one);
    assert_eq!(sweep(&["--older-than", "31"]).await, none, "it is not so old");
    assert!(left.exists(), "it was to be left");
    assert_eq!(sweep(&[]).await, json!({ "unnamed": 1, "removed": true }));
    assert_eq!(clinic.instance.captures(), recorded, "what a scan names stays");
    assert_eq!(sweep(&[]).await, none);
}
