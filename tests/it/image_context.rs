//! What `docker build` sends and copies has everything that the build reads. `tests/image.sh` builds the image.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DOCKERFILE: &str = include_str!("../../Dockerfile");
const IGNORED: &str = include_str!("../../.dockerignore");

/// What the build context admits; everything else is ignored.
fn admitted() -> Vec<&'static str> {
    let rules: Vec<&str> = IGNORED.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(rules.first(), Some(&"*"), "nothing is sent that is not named");
    rules[1..].iter().map(|rule| rule.strip_prefix('!').unwrap()).collect()
}

/// The sources of each `COPY` from the context.
fn copied() -> Vec<&'static str> {
    let lines = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("COPY "));
    let from_context = lines.filter(|line| !line.starts_with("--from"));
    from_context.flat_map(|line| line.rsplit_once(' ').unwrap().0.split(' ')).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        copy(&from.join(&name), &to.join(&name));
    }
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else {
                Vec::from_iter((path.extension().is_some_and(|extension| extension == "rs")).then_some(path))
            }
        })
        .collect()
}

/// The files, and the folders of files, that are compiled into a source file.
fn included(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let uses =
        ["include_str!(", "include_bytes!(", "include!("].map(|name| text.split(name).skip(1).collect::<Vec<_>>()).concat();
    let literals = uses.iter().map(|rest| rest.split('"').nth(1).unwrap());
    literals.map(|literal| resolved(&file.parent().unwrap().join(literal))).collect()
}

fn resolved(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            whole.pop();
        } else {
            whole.push(component);
        }
    }
    whole
}

#[test]
fn the_image_is_built_from_everything_that_the_build_reads() {
    let context = tempfile::tempdir().unwrap();
    let root = context.path();
    for source in copied() {
        let is_sent = admitted().iter().any(|rule| Path::new(source).starts_with(rule));
        assert!(is_sent, "{source} is copied, and .dockerignore keeps it away");
        copy(&Path::new(ROOT).join(source), &root.join(source));
    }
    // As the Dockerfile makes them, because the manifest names them.
    for target in ["tests/it/main.rs", "tests/heavy/main.rs"] {
        copy(&root.join("src/main.rs"), &root.join(target));
    }
    let found: Vec<PathBuf> = rust_files(&root.join("src")).iter().flat_map(|file| included(file)).collect();
    assert!(found.len() > 20, "{found:?}");
    for file in found {
        assert!(file.exists(), "{} is compiled in, and the image's build has not got it", file.display());
    }
    // What other systems would need need not be here.
    let metadata = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", "host-tuple"];
    let resolved = Command::new(env!("CARGO")).args(metadata).current_dir(root).output().unwrap();
    assert!(resolved.status.success(), "{}", String::from_utf8_lossy(&resolved.stderr));
}

#[test]
fn each_base_image_is_pinned_by_its_digest_and_the_build_s_has_the_toolchain_that_the_manifest_asks_for() {
    let defaults: Vec<(&str, &str)> = DOCKERFILE
        .lines()
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='))
        .filter(|(name, _)| name.ends_with("_IMAGE"))
        .collect();
    let bases = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("FROM "));
    let used: Vec<String> = bases.map(|base| base.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(used, Vec::from_iter(defaults.iter().map(|(name, _)| format!("${{{name}}}"))));
    for (name, image) in &defaults {
        let (_, digest) = image.split_once("@sha256:").unwrap_or_else(|| panic!("{name}={image} has no digest"));
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}={image}");
    }
    let toolchain = concat!("rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(defaults[0].1.contains(toolchain), "{defaults:?} against {toolchain}");
}
