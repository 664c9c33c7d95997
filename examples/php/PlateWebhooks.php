<?php

// Verifies webhooks of plate-detect, and stores what they carry. It needs nothing but PHP 8.1.

final class PlateWebhookError extends Exception {}

final class PlateWebhooks
{
    private const TOLERANCE_SECONDS = 300;
    private const TASK_ID = '/^[A-Za-z0-9_-]{1,64}$/D';
    private const UNSAFE_NAME = '~^\.{0,2}$|[\x00-\x1f\x7f/\\\\]~D';

    /** @var string[] */
    private array $keys;

    /** @param string $secrets one secret, or several separated by commas while it is changed */
    public function __construct(string $secrets, private string $folder)
    {
        $this->keys = array_map(
            fn (string $text) => base64_decode(preg_replace('/^whsec_/', '', trim($text))),
            explode(',', $secrets),
        );
        if (in_array('', $this->keys, true)) {
            throw new LogicException('WEBHOOK_SECRET is empty');
        }
    }

    /**
     * @param callable(string): ?string $header returns the value of a header
     * @param string $signed the body of a callback, or the manifest of an upload
     */
    public function verify(callable $header, string $signed): void
    {
        $id = $header('webhook-id');
        $time = $header('webhook-timestamp');
        $signatures = $header('webhook-signature');
        if (!$id || !$time || !$signatures) {
            throw new PlateWebhookError('not signed');
        }
        if (!ctype_digit($time) || abs(time() - (int) $time) > self::TOLERANCE_SECONDS) {
            throw new PlateWebhookError('too old or too new');
        }
        foreach ($this->keys as $key) {
            $digest = hash_hmac('sha256', "$id.$time.$signed", $key, true);
            $expected = 'v1,' . base64_encode($digest);
            foreach (explode(' ', $signatures) as $signature) {
                if (hash_equals($expected, $signature)) {
                    return;
                }
            }
        }
        throw new PlateWebhookError('wrong signature');
    }

    /**
     * Verify an upload, then move its files into a folder of the task.
     *
     * @param list<array{string, string}> $images name and path of each file, in the order of the form
     */
    public function storeUpload(callable $header, string $taskId, array $images): void
    {
        $names = array_column($images, 0);
        // The manifest is text: an id or a name with a line break could pass for other lines of it.
        if (!preg_match(self::TASK_ID, $taskId) || preg_grep(self::UNSAFE_NAME, $names)) {
            throw new PlateWebhookError('a task id or a file name that the service does not send');
        }
        if (!$names || count(array_unique($names)) < count($names)) {
            throw new PlateWebhookError('no images, or two of the same name');
        }
        $lines = array_map(fn ($image) => $image[0] . ' ' . hash_file('sha256', $image[1]), $images);
        $this->verify($header, implode("\n", [$taskId, ...$lines]));

        $folder = "$this->folder/$taskId";
        is_dir($folder) || mkdir($folder, recursive: true) || is_dir($folder);
        foreach ($images as [$name, $path]) {
            $part = $folder . '/.' . bin2hex(random_bytes(8)) . '.part';
            if (!move_uploaded_file($path, $part) || !rename($part, "$folder/$name")) {
                throw new RuntimeException("$name could not be stored"); // 500: it is sent again
            }
        }
    }

    /** Verify a callback, then store it. */
    public function storeCallback(callable $header, string $body): void
    {
        $this->verify($header, $body);
        $taskId = json_decode($body, true)['task_id'] ?? '';
        if (!preg_match(self::TASK_ID, $taskId)) {
            throw new PlateWebhookError('no state of a task');
        }
        $part = $this->folder . '/.' . bin2hex(random_bytes(8)) . '.part';
        if (file_put_contents($part, $body) === false || !rename($part, "$this->folder/$taskId.json")) {
            throw new RuntimeException('the callback could not be stored');
        }
    }
}
