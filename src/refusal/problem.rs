//! Refusals as programs of the administration read them: problem details (RFC 9457).

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::{Refusal, response};
use crate::exchange::Exchange;

impl Refusal {
    /// Logs the cause and makes the response.
    pub fn into_problem(self, exchange: &Exchange) -> Response<axum::body::Body> {
        self.log(exchange);
        let row = self.row();
        let detail = if let Self::BadRequest(why) = &self { why } else { row.message.for_programs() };
        let title = row.status.canonical_reason().unwrap_or_default();
        let body = json!({
            "type": "about:blank", "title": title, "status": row.status.as_u16(), "detail": detail,
            "error": row.error, "request_id": exchange.id_text(),
        });
        let mut response = response::json(&body, row.status, row.error);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if row.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 section 3.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"administration\""));
        }
        if let Some(wait) = row.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}
