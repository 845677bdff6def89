//! Files of an export: that of its keys, written here once more from the page, and changes to a folder.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The one spelling of `keys.json` for these keys.
pub(super) fn keys_file(case: &Value) -> Vec<u8> {
    let keys = case["keys"].as_array().expect("keys").iter().map(|x| {
        let x = x.as_str().expect("base64url");
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
        let jwk = audit::jws::Jwk::parse(jwk.as_bytes()).expect("a JWK");
        let key = audit::jws::PublicKey::from_jwk(&jwk).expect("a key");
        format!(
            "    {{\n      \"kty\": \"OKP\",\n      \"crv\": \"Ed25519\",\n      \"x\": \"{x}\",\n      \"kid\": \"{}\"\n    }}",
            key.thumbprint()
        )
    });
    format!("{{\n  \"keys\": [\n{}\n  ]\n}}\n", keys.collect::<Vec<_>>().join(",\n")).into_bytes()
}

/// Copies a folder with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Makes one change to a folder.
pub(super) fn apply(folder: &Path, edit: &Value) {
    let text = |member: &str| edit[member].as_str().expect("text");
    let path = folder.join(text("path"));
    let to = || {
        let to = folder.join(text("to"));
        std::fs::create_dir_all(to.parent().expect("below")).expect("a folder");
        to
    };
    match text("op") {
        "remove" => std::fs::remove_file(path).expect("there"),
        "folder" => std::fs::create_dir_all(path).expect("made"),
        "rename" => std::fs::rename(path, to()).expect("there"),
        "link" => std::os::unix::fs::symlink(&path, to()).expect("made"),
        "splice" => {
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            let at = edit["at"].as_u64().map_or(bytes.len(), |at| at as usize);
            let length = edit["length"].as_u64().unwrap_or_default() as usize;
            let with = edit["base64"].as_str().unwrap_or_default();
            bytes.splice(at..at + length, STANDARD.decode(with).expect("base64"));
            std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
            std::fs::write(path, bytes).expect("written");
        }
        op => panic!("an unknown edit: {op}"),
    }
}
