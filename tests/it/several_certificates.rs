//! Several certificates beside each other: each is read by itself, and a client is shown one that it can use.

use std::{
    fs::{self, File},
    time::Duration,
};

use evergate::clock::Clock;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::{Builder, World, certificates::Authority, eventually::eventually, logs::lines_with};

const DAY: Duration = Duration::from_secs(86_400);

fn world(authority: &Authority, pairs: [&(String, String); 2]) -> Builder {
    let [first, second] = pairs;
    World::build()
        .secure(authority)
        .set("tls_cert_file", &format!("{},{}", first.0, second.0))
        .set("tls_key_file", &format!("{},{}", first.1, second.1))
}

/// The certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_holds_no_other_one_back_and_is_read_again_as_soon_as_it_can() {
    let authority = Authority::new();
    let (first, second) = (authority.issue("one-of-two", &["app.test"]), authority.issue("two-of-two", &["other.test"]));
    let world = world(&authority, [&first, &second]).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    let of = async |name: &str| shown(&authority.connect(address, name, &[]).await.unwrap());
    let before = (of("app.test").await, of("other.test").await);
    let good = fs::read(&first.0).unwrap();
    fs::write(&first.0, "no certificate").unwrap();
    eventually("it is said", async || !lines_with(&["certificate reload failed", "one-of-two.pem"]).is_empty()).await;
    authority.issue("two-of-two", &["other.test"]);
    eventually("the other one is renewed", async || of("other.test").await != before.1).await;
    assert_eq!(of("app.test").await, before.0, "and the first is as it was");
    assert_eq!(lines_with(&["certificate reload failed", "one-of-two.pem"]).len(), 1, "which is said once");
    // As if nothing had been written since it could not be read.
    let modified = fs::metadata(&first.0).unwrap().modified().unwrap();
    fs::write(&first.0, good).unwrap();
    File::options().write(true).open(&first.0).unwrap().set_modified(modified).unwrap();
    eventually("it is read", async || !lines_with(&["certificates reloaded", "one-of-two.pem"]).is_empty()).await;
    assert_eq!(of("app.test").await, before.0);
}

#[tokio::test]
async fn of_several_certificates_for_a_name_a_client_is_shown_one_whose_key_it_can_verify() {
    let authority = Authority::new();
    let (ecdsa, rsa) = (authority.issue("ecdsa", &["app.test"]), authority.issue_rsa("rsa", &["app.test"]));
    let world = world(&authority, [&ecdsa, &rsa]).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    let newer = shown(&authority.connect(address, "app.test", &[]).await.unwrap());
    let older = shown(&authority.connect_by_rsa(address, "app.test").await.expect("it finds one that it can verify"));
    let of = |file: &str| CertificateDer::from_pem_file(file).unwrap().to_vec();
    assert!(newer == of(&ecdsa.0) && older == of(&rsa.0));
}

#[tokio::test]
async fn of_several_certificates_for_a_name_one_within_its_validity_is_shown() {
    let (authority, now) = (Authority::new(), Clock::System.now());
    let old = authority.issue_for("old", &["app.test"], now.minus(3 * DAY)..now.minus(DAY));
    let new = authority.issue_for("new", &["app.test"], now.minus(DAY)..now.plus(DAY));
    let world = world(&authority, [&old, &new]).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    authority.connect(address, "app.test", &[]).await.expect("the client takes it");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["certificate"], "ok");
}
