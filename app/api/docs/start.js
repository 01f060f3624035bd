// Starts Swagger UI. A file of its own, because the page's Content-Security-Policy forbids scripts
// inside the page.
"use strict";

SwaggerUIBundle({
  // Beside the page, also under the path of a proxy.
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // The badge of the validator would ask a host on the internet.
  validatorUrl: null,
});
