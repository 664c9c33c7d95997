<?php

// A controller for Laravel. routes/api.php, which has no CSRF check:
//
//   Route::post('/plates/upload', [PlatesController::class, 'upload']);
//   Route::post('/plates/callback', [PlatesController::class, 'callback']);

use Illuminate\Http\Request;
use Illuminate\Http\Response;

final class PlatesController
{
    private PlateWebhooks $webhooks;
    private string $field;

    public function __construct()
    {
        // In Laravel, read them in a file of config/: env() and getenv() are empty elsewhere once the
        // configuration is cached.
        $this->webhooks = new PlateWebhooks(getenv('WEBHOOK_SECRET') ?: '', getenv('IMAGES_FOLDER') ?: 'images');
        // PHP makes a list of a field whose name ends in `[]`, and drops these two characters.
        $this->field = preg_replace('/\[\]$/', '', getenv('WEBHOOK_IMAGES_FIELD') ?: 'images[]');
    }

    public function upload(Request $request): Response
    {
        $files = $request->file($this->field) ?? [];
        foreach ($files as $file) {
            if (!$file->isValid()) {
                return new Response($file->getErrorMessage(), 413); // upload_max_filesize
            }
        }
        $images = array_map(fn ($file) => [$file->getClientOriginalName(), $file->getPathname()], $files);

        return $this->answer(fn () => $this->webhooks->storeUpload(
            $request->header(...),
            (string) $request->input('task_id'),
            array_values($images),
        ));
    }

    public function callback(Request $request): Response
    {
        return $this->answer(fn () => $this->webhooks->storeCallback(
            $request->header(...),
            $request->getContent(),
        ));
    }

    private function answer(callable $store): Response
    {
        try {
            $store();
        } catch (PlateWebhookError $error) {
            return new Response($error->getMessage(), 401);
        }

        return new Response('', 204);
    }
}
