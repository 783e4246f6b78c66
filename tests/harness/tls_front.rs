//! TLS before something that speaks none.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::Authority;

pub struct TlsFront {
    pub address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl TlsFront {
    /// With a certificate for this name.
    pub async fn start(authority: &Authority, name: &str) -> Self {
        let (chain, key) = authority.issue("tls-front", &[name]);
        let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, target) = (listener.local_addr().unwrap(), Arc::<Mutex<Option<SocketAddr>>>::default());
        let towards = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), *towards.lock().unwrap());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await.ok()?;
                    let mut server = TcpStream::connect(target?).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        Self { address, target }
    }

    pub fn forward_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = Some(target);
    }
}
