//! The handlers of all Lambda functions: one file per endpoint or step.
//!
//! | route or trigger | file |
//! |---|---|
//! | authorizer of the HTTP API | `authorize` |
//! | `POST /v1/orders` | `orders/create` |
//! | `GET /v1/orders/{request_id}` | `orders/get` |
//! | `GET /v1/orders` | `orders/list` |
//! | `POST /v1/orders/{request_id}/abort` | `orders/abort` |
//! | `POST /v1/orders/{request_id}/retry` | `orders/retry` |
//! | `POST /v1/orders/{request_id}/cancel`, `…/cancellation` | `cancellations/create` |
//! | `GET /v1/cancellations/{request_id}` | `aftersale/get` |
//! | `POST /v1/orders/{request_id}/return` | `returns/create` |
//! | `GET /v1/returns/{request_id}` | `aftersale/get` |
//! | `GET /v1/labels/{label_id}` | `labels/get` |
//! | `GET /v1/products/{product_id}` | `products/details` |
//! | `GET /v1/products/{product_id}/offers` | `products/offers` |
//! | `GET /v1/retailers` | `retailers/list` |
//! | `GET /v1/orders/{request_id}/refund` | `refunds/get` |
//! | `POST` the same | `refunds/request` |
//! | `GET /v1/addax/balance` | `addax/balance` |
//! | `GET /v1/addax/transactions` | `addax/transactions` |
//! | `GET /managed-accounts`, `/users/managed-accounts` | `managed_accounts/list` |
//! | `POST` the same | `managed_accounts/create` |
//! | `PUT` the same`/{short_id}` | `managed_accounts/update` |
//! | `DELETE` the same`/{short_id}` | `managed_accounts/delete` |
//! | `GET` the same`/{short_id}/mails` | `managed_accounts/mails` |
//! | `GET /webhooks/endpoint` | `webhooks/get_endpoint` |
//! | `PUT` the same | `webhooks/set_endpoint` |
//! | `DELETE` the same | `webhooks/delete_endpoint` |
//! | `POST` the same`/rotate` | `webhooks/rotate_secret` |
//! | `GET /v1/webhooks/deliveries` | `webhooks/list_deliveries` |
//! | `POST` the same`/replay` | `webhooks/replay_deliveries` |
//! | `GET /v1/webhooks/deliveries/{delivery_id}` | `webhooks/get_delivery` |
//! | `POST` the same`/replay` | `webhooks/replay_delivery` |
//! | `POST /v1/webhooks/test` | `webhooks/send_test` |
//! | `GET /v1/webhooks/endpoints` | `webhooks/list_endpoints` |
//! | `POST` the same`/{endpoint_id}/enable` | `webhooks/enable_endpoint` |
//! | queue `jobs.fifo` | `jobs/account` |
//! | its dead-letter queue | `jobs/end_dead_order` |
//! | queue `webhooks` | `jobs/deliver_webhook` |
//! | queue `products` | `jobs/read_product` |
//! | mail, received by SES | `inbound_email` |
//! | every minute | `sweep` |
//! | CloudFormation | `activate_receipt_rules` |
//! | the sandbox retailer | `sandbox` |

pub mod activate_receipt_rules;
pub mod addax;
pub mod aftersale;
pub mod authorize;
pub mod cancellations;
pub mod inbound_email;
pub mod jobs;
pub mod labels;
pub mod managed_accounts;
mod news;
pub mod orders;
pub mod products;
pub mod refunds;
pub mod retailers;
pub mod returns;
pub mod sandbox;
pub mod sweep;
pub mod webhooks;
