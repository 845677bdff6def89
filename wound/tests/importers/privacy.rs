//! What says where, with what and by whom a capture was taken does not come in: planted in every
//! place that a source has for it, it is in no byte of what is stored.

use std::io::Cursor;
use std::path::Path;

use wound::bundle;
use wound::capture::Capture;
use wound::error::CaptureError;
use wound::importers::{Options, import};
use wound::ply;

use crate::sources::{self, TrueDepth, write};

/// A place on earth, as no other bytes here spell it.
const PLACE: &str = "PLANTED-52.516275N-13.377704E";

/// Whether the bytes hold the place, or the start of it.
fn holds(bytes: &[u8]) -> bool {
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    contains(PLACE.as_bytes()) || contains(b"PLANTED") || contains(b"52.516275")
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 2).expect("a short segment");
    [&[0xFF, marker], length.to_be_bytes().as_slice(), content].concat()
}

/// A JPEG with the place in each kind of segment, between the scans' end and behind the end.
fn tagged_jpeg(jpeg: &[u8]) -> Vec<u8> {
    let place = PLACE.as_bytes();
    [
        &jpeg[..2],
        &segment(0xE1, &[b"Exif\0\0MM\0*\0\0\0\x08", place].concat()),
        &segment(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0", place].concat()),
        &segment(0xED, &[b"Photoshop 3.0\0", place].concat()),
        &segment(0xE2, &[b"ICC_PROFILE\0\x01\x01", place].concat()),
        &segment(0xFE, place),
        &jpeg[2..],
        place,
    ]
    .concat()
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0xEDB8_8320 & (register & 1).wrapping_neg());
        }
    }
    (!register).to_be_bytes()
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short chunk");
    let body = [kind.as_slice(), content].concat();
    [length.to_be_bytes().as_slice(), &body, &crc(&body)].concat()
}

/// A PNG with the place in a text chunk, an EXIF chunk and behind the end.
fn tagged_png(png: &[u8]) -> Vec<u8> {
    let place = PLACE.as_bytes();
    let (head, rest) = png.split_at(8 + 25);
    [
        head,
        &chunk(b"tEXt", &[b"Location\0", place].concat()),
        &chunk(b"eXIf", &[b"MM\0*", place].concat()),
        rest,
        place,
    ]
    .concat()
}

fn stored(path: &Path, options: Options) -> Vec<u8> {
    let imported = import(path, options).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    match &imported.capture {
        Capture::Frame(frame) => bundle::write(frame),
        Capture::Surface(surface) => ply::write(surface),
    }
    .expect("it is written")
}

#[test]
fn nothing_planted_in_any_source_is_stored() {
    let frame = sources::frame();
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let mut planted: Vec<(std::path::PathBuf, Options)> = Vec::new();
    let with_place = |mut document: serde_json::Value| {
        document["gpsLatitude"] = PLACE.into();
        document["device"] = serde_json::json!({ "serial": PLACE });
        document.to_string()
    };

    let scan = at("scan");
    sources::scanner_app(&scan, &frame);
    write(&scan, "frame_00007.jpg", tagged_jpeg(&sources::jpeg(frame.image())));
    write(&scan, "depth_00007.png", tagged_png(&sources::depth_png(&frame)));
    write(&scan, "conf_00007.png", tagged_png(&sources::confidence_png(&frame)));
    write(&scan, "frame_00007.json", with_place(sources::scanner_app_document(&frame)));
    write(&scan, "info.json", PLACE);
    planted.push((scan, Options::default()));

    let export = at("export");
    sources::record3d(&export, &frame);
    write(&export, "rgb/2.jpg", tagged_jpeg(&sources::jpeg(frame.image())));
    let depth = sources::depth_exr(&frame, Some(PLACE));
    assert!(holds(&depth), "an EXR file has a place for its owner");
    write(&export, "depth/2.exr", depth);
    write(&export, "metadata.json", with_place(sources::record3d_document(&frame)));
    planted.push((export, Options::default()));

    let stray = at("stray");
    sources::stray(&stray, &frame);
    write(&stray, "rgb/000005.png", tagged_png(&sources::png(frame.image())));
    write(&stray, "depth/000005.png", tagged_png(&sources::depth_png(&frame)));
    write(&stray, "confidence/000005.png", tagged_png(&sources::confidence_png(&frame)));
    let table = sources::odometry(&frame);
    let table = table.replace(" , \n", &format!("{PLACE}, \n"));
    assert!(table.contains(PLACE));
    write(&stray, "odometry.csv", table);
    write(&stray, "camera_matrix.csv", format!("{}\n{PLACE}\n", sources::camera_matrix(&frame)));
    planted.push((stray, Options::default()));

    let pair = at("pair");
    sources::pair(&pair, &frame);
    write(&pair, "image.jpg", tagged_jpeg(&sources::jpeg(frame.image())));
    write(&pair, "arkit_depth.png", tagged_png(&sources::depth_png(&frame)));
    let camera = Some(*frame.intrinsics());
    planted.push((pair, Options { intrinsics: camera, ..Options::default() }));

    let mut recording = TrueDepth::of(&frame);
    recording.metadata["location"] = PLACE.into();
    recording.comment = format!("GPS {PLACE}");
    write(folder.path(), "recording.ply", [recording.ply(), PLACE.into()].concat());
    planted.push((at("recording.ply"), Options::default()));

    write(folder.path(), "mesh.ply", tagged_ply());
    planted.push((at("mesh.ply"), Options::default()));
    let mesh =
        format!("# {PLACE}\nmtllib {PLACE}.mtl\no {PLACE}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n");
    write(folder.path(), "mesh.obj", mesh);
    planted.push((at("mesh.obj"), Options::default()));

    for (path, options) in planted {
        let stored = stored(&path, options);
        assert!(!holds(&stored), "{} brought the place in", path.display());
        // Nor packed away in a part of a picture: a bundle is read only if it has no such part.
        if stored.starts_with(b"ply") {
            assert_eq!(ply::write(&ply::read(&stored).expect("read")).expect("written"), stored);
        } else {
            bundle::read(&stored).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        }
    }
}

/// A mesh with the place in comments, in the name of a property, in an element of its own, and
/// behind the end.
fn tagged_ply() -> String {
    let name = PLACE.to_lowercase();
    let spelled: Vec<String> = PLACE.bytes().map(|byte| byte.to_string()).collect();
    format!(
        "ply\nformat ascii 1.0\ncomment GPS {PLACE}\nobj_info {PLACE}\nelement vertex 3\n\
         property float x\nproperty float y\nproperty float z\nproperty float {name}\n\
         element face 1\nproperty list uchar int vertex_indices\n\
         element {PLACE} 1\nproperty list uchar uchar text\nend_header\n\
         0 0 0 52.516275\n0.02 0 0 52.516275\n0 0.02 0 52.516275\n3 0 1 2\n{} {}\n{PLACE}\n",
        spelled.len(),
        spelled.join(" ")
    )
}

/// The entries of a bundle, for changing one of them.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let all = archive.entries().expect("an archive");
    all.map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").to_string_lossy().into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("its content");
        (name, content)
    })
    .collect()
}

fn packed(entries: &[(String, Vec<u8>)], change: &dyn Fn(&mut tar::Header)) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("a short name");
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        change(&mut header);
        header.set_cksum();
        archive.append(&header, content.as_slice()).expect("it is packed");
    }
    archive.into_inner().expect("it is packed")
}

#[test]
fn a_bundle_with_anything_hidden_in_it_is_refused() {
    let whole = bundle::write(&sources::frame()).expect("it is written");
    let good = entries(&whole);
    assert!(bundle::read(&packed(&good, &|_| ())).is_ok());
    let with = |name: &str, change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut changed = good.clone();
        for (entry, content) in &mut changed {
            if entry == name {
                *content = change(content);
            }
        }
        bundle::read(&packed(&changed, &|_| ())).map(|_| ()).expect_err("it is refused")
    };
    let place = PLACE.as_bytes();
    // The end of the first scan is where a second picture's or a phone's own data would begin.
    let inside = |jpeg: &[u8], extra: &[u8]| [&jpeg[..2], extra, &jpeg[2..]].concat();
    type Change<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let hidden: Vec<(&str, &str, Change<'_>)> = vec![
        ("EXIF", "image.jpg", Box::new(|it| inside(it, &segment(0xE1, place)))),
        (
            "EXIF behind filling",
            "image.jpg",
            Box::new(|it| inside(it, &[&[0xFF], segment(0xE1, place).as_slice()].concat())),
        ),
        ("a comment", "image.jpg", Box::new(|it| inside(it, &segment(0xFE, place)))),
        (
            "a colour profile",
            "image.jpg",
            Box::new(|it| inside(it, &segment(0xE2, &[b"ICC_PROFILE\0\x01\x01", place].concat()))),
        ),
        (
            "JFIF with more in it",
            "image.jpg",
            Box::new(|it| {
                inside(it, &segment(0xE0, &[b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0", place].concat()))
            }),
        ),
        (
            "EXIF behind the scan",
            "image.jpg",
            Box::new(|it| {
                let (scan, end) = it.split_at(it.len() - 2);
                [scan, &segment(0xE1, place), end].concat()
            }),
        ),
        ("bytes behind the end", "image.jpg", Box::new(|it| [it, place].concat())),
        ("a second picture", "image.jpg", Box::new(|it| [it, it].concat())),
        ("text", "depth.png", Box::new(tagged_png)),
        ("text", "confidence.png", Box::new(tagged_png)),
        (
            "a chunk of a known name, but longer",
            "depth.png",
            Box::new(|it| [&it[..33], &chunk(b"gAMA", place), &it[33..]].concat()),
        ),
        ("bytes behind the end", "depth.png", Box::new(|it| [it, place].concat())),
    ];
    for (what, name, change) in hidden {
        let error = with(name, &*change);
        assert!(
            matches!(error, CaptureError::Metadata { entry } if entry == name)
                // The decoder may be stricter still.
                || matches!(error, CaptureError::Decode { entry, .. } if entry == name),
            "{name}, {what}: {error:?}"
        );
    }

    let header =
        |change: &dyn Fn(&mut tar::Header)| bundle::read(&packed(&good, change)).map(|_| ());
    assert!(header(&|it| it.set_mtime(1_700_000_000)).is_ok(), "a time is no place");
    let named = [
        header(&|it| it.set_username(&PLACE[..20]).expect("short")),
        header(&|it| it.set_groupname(&PLACE[..20]).expect("short")),
        header(&|it| it.set_link_name(PLACE).expect("short")),
        header(&|it| it.as_mut_bytes()[500..508].copy_from_slice(b"PLANTED!")),
    ];
    for error in named {
        assert!(matches!(error, Err(CaptureError::Entry { .. })), "{error:?}");
    }
    // Between an entry and the next, and behind the last.
    let between = whole.windows(8).position(|it| it == b"}\0\0\0\0\0\0\0").expect("room") + 1;
    let mut padded = whole.clone();
    padded[between..between + 7].copy_from_slice(b"PLANTED");
    assert!(matches!(bundle::read(&padded), Err(CaptureError::Entry { .. })));
    let behind = [whole.as_slice(), place].concat();
    assert!(matches!(bundle::read(&behind), Err(CaptureError::Entry { .. })));
    assert!(bundle::read(&[whole.as_slice(), &[0; 4096]].concat()).is_ok(), "tar pads with zeros");
}

/// The helper above makes chunks that decoders accept, or the test would prove nothing.
#[test]
fn the_planted_pictures_are_pictures() {
    let frame = sources::frame();
    let tagged = tagged_png(&sources::depth_png(&frame));
    assert!(holds(&tagged));
    image::ImageReader::with_format(Cursor::new(&tagged), image::ImageFormat::Png)
        .decode()
        .expect("a picture");
    let tagged = tagged_jpeg(&sources::jpeg(frame.image()));
    assert!(holds(&tagged));
    image::ImageReader::with_format(Cursor::new(&tagged), image::ImageFormat::Jpeg)
        .decode()
        .expect("a picture");
}
