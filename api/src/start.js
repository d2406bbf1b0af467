// Starts the documentation page; see document.rs.
window.onload = () => {
    document.title = "API reference – Khata";
    // A form shows each field filled in. One without an example stays empty: the call does without it.
    const examplesOnly = {
        afterLoad() {
            const sample = this.fn.getSampleSchema;
            const isGiven = (schema) => "example" in schema || "default" in schema || schema.enum?.length === 1;
            // The form alone asks for a value without a media type.
            this.fn.getSampleSchema = (schema, type, ...rest) =>
                type === false && !isGiven(schema?.toJS?.() ?? schema ?? {}) ? "" : sample(schema, type, ...rest);
        },
        // Nor does the page send what is empty: an empty text may be a value.
        wrapComponents: {
            ParameterIncludeEmpty: (Original, system) => (shown) =>
                system.React.createElement(Original, { ...shown, isIncludedOptions: { shouldDispatchInit: false } }),
        },
    };
    window.ui = SwaggerUIBundle({
        // The page shows the link to the guide only beside an absolute address.
        url: `${location.origin}/openapi.json`,
        dom_id: "#swagger-ui",
        plugins: [examplesOnly],
        layout: "StandaloneLayout",
        presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
        deepLinking: true,
        displayOperationId: true,
        tryItOutEnabled: true,
        validatorUrl: null,
        requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
    });
};
