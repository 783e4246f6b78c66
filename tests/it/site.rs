//! The documentation as a site.

use std::process::Command;

#[test]
fn the_documentation_is_a_site_without_a_dead_link_and_loads_nothing_from_elsewhere() {
    let root = env!("CARGO_MANIFEST_DIR");
    let built = tempfile::tempdir().unwrap();
    let output = Command::new("python3")
        .args(["-m", "mkdocs", "build", "--strict", "--site-dir"])
        .arg(built.path())
        .env("PYTHONPATH", format!("{root}/tests/peers/python"))
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = |name: &str| std::fs::read_to_string(built.path().join(name)).unwrap();
    assert!(page("index.html").contains("href=\"monitoring.html\""), "the README's links lead to pages of the site");
    assert!(page("monitoring.html").contains("id=\"a-certificate-expires\""), "headings have the anchors that links name");
    assert!(page("search/search_index.json").contains("EvergateStoreFails"), "it can be searched");
    for name in ["index.html", "settings.html", "providers/keycloak.html"] {
        let text = page(name);
        for part in ["src=\"http", "src=\"//", "rel=\"stylesheet\" href=\"http"] {
            assert!(!text.contains(part), "{name} loads {part}");
        }
    }
}
