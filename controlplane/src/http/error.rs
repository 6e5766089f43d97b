//! Errors as JSON: `{"error": {"code", "message"}}`.

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::rooms::message::ErrorCode;
use crate::rooms::model::Failure;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, &'static str)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send a known API key as Authorization: Bearer KEY",
        )
        .with(header::WWW_AUTHENTICATE, "Bearer realm=\"forebay\"")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "the Allow header names the methods",
        )
    }

    pub(crate) fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the request took too long to arrive",
        )
        .with(header::CONNECTION, "close")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body may have {limit} bytes"),
        )
        .with(header::CONNECTION, "close")
    }

    pub(crate) fn media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "send the body as application/json",
        )
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub(crate) fn rate_limited() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "too many requests from this address",
        )
        .with(header::RETRY_AFTER, "1")
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .with(header::RETRY_AFTER, "1")
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let Failure { code, message } = failure;
        match code {
            ErrorCode::NotFound => Self::not_found(),
            ErrorCode::Unauthorized | ErrorCode::ResumeFailed => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            }
            ErrorCode::Forbidden => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            ErrorCode::Limit => Self::new(StatusCode::CONFLICT, "limit", message),
            ErrorCode::RateLimited => Self::rate_limited(),
            ErrorCode::Unavailable | ErrorCode::Slow => Self::unavailable(message),
            ErrorCode::BadMessage
            | ErrorCode::UnknownType
            | ErrorCode::Version
            | ErrorCode::BadOffer
            | ErrorCode::BadAnswer
            | ErrorCode::Codec
            | ErrorCode::StaleAnswer => Self::invalid(message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": { "code": self.code, "message": self.message } }));
        let mut response = (self.status, body).into_response();
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}
