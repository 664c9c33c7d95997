"use strict";
// validatorUrl: Swagger UI would otherwise send this document's address to its makers.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
  tryItOutEnabled: true,
});
