//! The command: a terminal where an address is pasted, and a listener where the browser comes back by itself.

use serde_json::Value;

use super::{ACCESS, provider, settings};
use crate::harness::{
    doctor::Doctor,
    idp::{self, Idp, Offline},
    process::free_port,
    visitor::{Visitor, path_of},
};

fn start(idp: &Idp, access_url: &str, arguments: &[&str]) -> Doctor {
    Doctor::start(&settings(idp, access_url), arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_pasted_completes_the_login_and_the_report_is_all_that_is_printed() {
    let (idp, _line) = provider().await;
    let mut doctor = start(&idp, ACCESS, &["--json"]);
    let url = doctor.sends_to();
    doctor.type_line("yes?");
    doctor.says("That is not the address of a login's end");
    let back = idp.authorize(&url).await;
    assert_eq!(back.origin().ascii_serialization(), ACCESS);
    doctor.type_line(back.as_str());
    let (code, printed) = doctor.end();
    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {printed}"));
    assert_eq!((code, &report["level"], &report["facts"]["cleanup"]), (0, &"ok".into(), &"revoked".into()), "{report:#}");
    assert!(!idp.has_live_refresh_token());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_to_this_machine_needs_no_paste_and_the_exit_code_is_the_worst_finding() {
    let directory = tempfile::tempdir().unwrap();
    for (offline, expected) in [(Offline::Scope, 0), (Offline::Never, 2)] {
        let (idp, _line) = provider().await;
        idp.give_refresh_tokens(offline);
        let port = free_port();
        let page = directory.path().join(format!("{port}.html"));
        let access_url = format!("http://127.0.0.1:{port}");
        let mut doctor = start(&idp, &access_url, &["--html", page.to_str().unwrap()]);
        let back = idp.authorize(&doctor.sends_to()).await;
        let visitor = Visitor::new(([127, 0, 0, 1], port).into());
        assert_eq!(visitor.get("/favicon.ico").await.status, 404);
        assert!(visitor.get("/oauth2/callback?code=x&state=of-another-login").await.status.is_success(), "and is passed over");
        let shown = visitor.get(&path_of(&back)).await;
        assert!(shown.text().contains("this window can be closed"), "{}", shown.text());
        let (code, printed) = doctor.end();
        assert_eq!(code, expected, "{printed}");
        assert!(printed.contains("Verdict: ") && std::fs::read_to_string(page).unwrap().contains("<table>"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_is_not_ended_without_a_yes() {
    let (idp, _line) = provider().await;
    let mut doctor = start(&idp, ACCESS, &["--destructive"]);
    doctor.says("--destructive presents a used refresh token again");
    doctor.type_line("no");
    assert_eq!(doctor.end(), (69, String::new()));
    assert_eq!(idp.passes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_providers_each_is_examined_with_a_login_at_its_own_redirect_uri() {
    let ((ours, _line), (theirs, _other)) = (provider().await, provider().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("evergate.toml");
    let table = format!(
        "[[provider]]\nname = \"partners\"\noidc_issuer_url = \"{}\"\noidc_client_id = \"{}\"\noidc_client_secret = \"{}\"\n\
         oidc_group_field = \"groups\"\n",
        theirs.issuer(),
        idp::CLIENT_ID,
        idp::CLIENT_SECRET
    );
    std::fs::write(&file, table).unwrap();
    let mut settings = settings(&ours, ACCESS);
    settings.push(("config_path", file.display().to_string()));
    for (arguments, examined) in [
        (&["--json", "--provider", "partners"][..], &[(&theirs, "/oauth2/callback/partners")][..]),
        (&["--json"], &[(&ours, "/oauth2/callback"), (&theirs, "/oauth2/callback/partners")]),
    ] {
        let mut doctor = Doctor::start(&settings, arguments);
        for (idp, path) in examined {
            let request = doctor.sends_to();
            assert!(request.as_str().starts_with(idp.issuer()), "{request}");
            let back = idp.authorize(&request).await;
            assert_eq!(back.path(), *path);
            doctor.type_line(back.as_str());
        }
        let (code, printed) = doctor.end();
        let report: Value = serde_json::from_str(&printed).unwrap();
        let reports = report.as_array().cloned().unwrap_or_else(|| vec![report.clone()]);
        let issuers: Vec<_> = reports.iter().map(|report| report["issuer"].as_str().unwrap()).collect();
        assert_eq!(issuers, examined.iter().map(|(idp, _)| idp.issuer()).collect::<Vec<_>>(), "{code} {printed}");
    }
}
