// Starts the documentation page; see document.rs.
window.onload = () => {
    window.ui = SwaggerUIBundle({
        url: "/openapi.json",
        dom_id: "#swagger-ui",
        layout: "StandaloneLayout",
        presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
        deepLinking: true,
        displayOperationId: true,
        tryItOutEnabled: true,
        validatorUrl: null,
        requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
    });
};
