//! The CA bundle and the client certificate of outgoing connections, which several modules have settings for.

use std::path::PathBuf;

use super::{reader::Reader, setting::Setting};
use crate::tls::ClientTls;

/// Whom outgoing connections trust and how they identify themselves, by three settings.
pub(super) fn trust(reader: &mut Reader<'_>, ca_file: &Setting, certificate: &Setting, key: &Setting) -> ClientTls {
    let client = (reader.owned(certificate), reader.owned(key));
    if reader.is_given(certificate) != reader.is_given(key) {
        reader.problem(certificate, format!("and {} go together", reader.name(key)));
    }
    ClientTls {
        ca_file: reader.owned(ca_file).map(PathBuf::from),
        client_certificate: client.0.zip(client.1).map(|(certificate, key)| (certificate.into(), key.into())),
    }
}
